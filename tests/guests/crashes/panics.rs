// guest: flags=-Cdebuginfo=1,-Cstrip=none,-Cpanic=abort
//! A panic that ends the program, in a function of a module.

mod digits {
    #[inline(never)]
    pub fn parse(text: &str) -> u32 {
        let number: Result<u32, _> = text.parse();
        number.unwrap() // mark: unwrap
    }
}

fn main() {
    let sum = digits::parse(std::hint::black_box("7")) + digits::parse(std::hint::black_box("seven")); // mark: main
    std::process::exit(i32::from(sum == 0));
}
