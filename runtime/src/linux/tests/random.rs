//! Random system calls: whatever a program asks for, it gets a value, an errno or an end, and nothing is out of order afterwards.
//!
//! `AMPOULE_TEST_SCALE=20` runs twenty times as many; `AMPOULE_TEST_SEED=7` runs that one seed alone.

use super::*;
use crate::end::{End, Limit};
use crate::machine::event::{Exception, PAGE_FAULT};

/// Wall time of one call: sleeping and polling end by it.
const WALL: Nanos = 2_000_000;
/// States of one system call between two new processes.
const BLOCK: u64 = 20;
/// Enough for some mappings, too little for many.
const PAGES: u64 = 768;

/// xorshift64*, seeded.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// Numbers worth more than their share: memory, signals, descriptors.
const FAVOURITES: [u64; 76] = [
    23, 26, 27, 44, 45, 48, 53, 55, 149, 213, 232, 233, 233, 233, 270, 281, 284, 290, 16, 22, 40, 72, 76, 82, 83, 86,
    88, 90, 92, 132, 137, 264, 265, 280, 285, 293, 316, 326, 332, 436, 9, 9, 9, 10, 10, 11, 11, 12, 12, 25, 25, 25, 28,
    13, 14, 15, 15, 127, 130, 131, 200, 234, 0, 1, 7, 19, 20, 35, 202, 217, 257, 271, 295, 296, 318, 158,
];
const FLAGS: [u64; 12] =
    [0x22, 0x22, 0x32, 0x4022, 0x4032, 0x10_0022, 0x21, 0x10_4022, 0x4_0022, 0x2, 0x32 | 0x10_0000, 0x23];

fn interesting(random: &mut Random) -> u64 {
    let page = PAGE_SIZE;
    let base = random.pick(&[
        0,
        1,
        TEXT,
        DATA,
        DATA + page,
        DATA + 2 * page,
        memory::STACK_TOP,
        memory::STACK_TOP - 8 * page,
        memory::STACK_TOP - memory::STACK_BYTES,
        memory::STACK_TOP - memory::STACK_BYTES - 256 * page,
        USER_START,
        USER_END,
        layout::CALL_GATE,
        layout::KERNEL_VIRTUAL,
        layout::TABLES_VIRTUAL,
        1 << 30,
        1 << 39,
        5 << 39,
        1 << 47,
        1 << 63,
        u64::MAX,
        u64::from(u32::MAX),
        i64::MAX as u64,
        0x7fff_f000,
        u64::from_ne_bytes((-100_i64).to_ne_bytes()),
    ]);
    let delta =
        random.pick(&[0, 0, 0, 0, 1, 8, 64, page, 2 * page, 7 * page, 0_u64.wrapping_sub(1), 0_u64.wrapping_sub(page)]);
    base.wrapping_add(delta)
}

fn argument(random: &mut Random, rig: &Rig) -> u64 {
    match random.below(16) {
        0..=3 => interesting(random),
        4 | 5 => random.below(12),
        6 => random.below(40) * PAGE_SIZE,
        7 => random.below(900) * PAGE_SIZE,
        8 | 9 => DATA + random.below(0x2000 / 8) * 8,
        10 => 1 << random.below(64),
        11 => random.pick(&FLAGS),
        12 => 8,
        13 | 14 => {
            let areas: Vec<_> = rig.process.memory.areas.iter().map(|(area, _)| area).collect();
            // It may have unmapped everything.
            let Some(which) = random.below(areas.len() as u64 + 1).checked_sub(1) else { return 0 };
            let area = areas[usize::try_from(which).unwrap()].clone();
            let offset = random.below(4) * PAGE_SIZE;
            if random.below(2) == 0 { area.start + offset } else { area.end.wrapping_sub(offset) }
        }
        _ => random.next(),
    }
}

/// Fills the data pages with words that could be addresses, lengths, flags, paths.
fn fill(random: &mut Random, rig: &mut Rig) {
    let paths: [&[u8]; 8] = [
        b"/tmp\0\0\0\0/tmp/d\0\0",
        b"/proc/self/fd\0\0\0",
        b"/dev/fd/3\0\0\0\0\0\0\0",
        b"/tmp/file\0\0\0\0\0\0\0",
        b"/dev/zero\0\0\0\0\0\0\0",
        b"/proc/self/maps\0",
        b"/dev/urandom\0\0\0\0",
        b"..//tmp/./x/../y",
    ];
    let mut bytes = Vec::new();
    while bytes.len() < 0x2000 {
        if random.below(8) == 0 {
            bytes.extend_from_slice(random.pick(&paths));
        } else {
            let (a, b) = (argument(random, rig), argument(random, rig));
            bytes.extend_from_slice(&a.to_le_bytes());
            bytes.extend_from_slice(&b.to_le_bytes());
        }
    }
    let mut watch = watch(u64::MAX);
    // The program may have unmapped them.
    let _ = rig.kernel(&mut watch).write_some(DATA, &bytes).or_else(|refusal| match refusal {
        Refusal::Errno(_) => Ok(0),
        other => Err(other),
    });
}

fn number(random: &mut Random) -> u64 {
    match random.below(8) {
        0..=2 => random.below(601),
        3 => random.pick(&[u64::MAX, 1 << 32, 511, 512, 1 << 63]),
        _ => random.pick(&FAVOURITES),
    }
}

fn arguments(random: &mut Random, rig: &Rig, number: u64) -> [u64; 6] {
    let mut arguments = [(); 6].map(|()| argument(random, rig));
    if random.below(4) != 0 {
        match number {
            // Mappings that have a chance.
            9 => {
                arguments[1] = (1 + random.below(60)) * PAGE_SIZE;
                arguments[2] = random.below(8);
                arguments[3] = random.pick(&FLAGS);
            }
            10 | 28 => arguments[2] = random.below(26),
            25 => {
                arguments[1] = (1 + random.below(30)) * PAGE_SIZE;
                arguments[2] = (1 + random.below(60)) * PAGE_SIZE;
                arguments[3] = random.below(4);
            }
            13 => {
                arguments[0] = 1 + random.below(64);
                arguments[3] = 8;
            }
            14 => arguments[3] = 8,
            200 | 234 => {
                arguments[0] = identity::PROCESS;
                arguments[1] = identity::PROCESS;
                arguments[2] = random.below(66);
            }
            44 | 45 | 48 | 55 => arguments[0] = random.below(12),
            53 => {
                arguments[0] = 1;
                arguments[1] = 1 | random.pick(&[0, 0x800]);
                arguments[2] = 0;
            }
            232 | 281 => {
                arguments[0] = random.below(12);
                arguments[2] = 1 + random.below(4);
                arguments[3] = random.below(2);
            }
            233 => {
                arguments[0] = random.below(12);
                arguments[1] = 1 + random.below(3);
                arguments[2] = random.below(12);
            }
            284 | 290 => arguments[1] = random.pick(&[0, 1, 0x800]),
            _ => {}
        }
    }
    arguments
}

/// Gives the registers a stack that is one, most of the time.
fn stack(random: &mut Random, rig: &mut Rig) {
    let rsp = match random.below(8) {
        0 => argument(random, rig),
        1 => DATA + random.below(0x2000 / 8) * 8,
        _ => memory::STACK_TOP - random.below(200) * PAGE_SIZE - 4096,
    };
    let registers = Registers { rsp, rip: TEXT + 0xf0, rflags: random.next(), ..*rig.machine.registers() };
    rig.machine.set_registers(&registers).unwrap();
}

/// Makes one system call; its result is a value or an errno that Linux has.
fn call(random: &mut Random, rig: &mut Rig, number: u64, label: &str) -> Result<(), Refusal> {
    let arguments = arguments(random, rig, number);
    let described = format!("{label}: {number} {arguments:x?}");
    let began = std::time::Instant::now();
    let value = rig.call_within(WALL, number, &arguments);
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(1), "{described} took {took:?}");
    let value = value?.cast_signed();
    assert!(!(-4095..-133).contains(&value), "{described}: {value:#x} is no errno");
    Ok(())
}

/// Looks at what came of it; false if nobody runs on.
fn goes_on(result: Result<(), Refusal>, rig: &Rig, label: &str) -> bool {
    match result {
        Ok(()) => rig.check(),
        // Over in the middle of something.
        Err(Refusal::End(End::Limit(Limit::Wall))) => return false,
        Err(Refusal::End(End::Cancelled | End::Limit(Limit::Cpu | Limit::Output))) => panic!("nobody asked for it"),
        Err(Refusal::End(_)) => rig.check(),
        Err(refusal) => panic!("{label}: {refusal:?}"),
    }
    true
}

fn play(seed: u64, calls: u64) {
    let mut random = Random::seeded(seed);
    let mut rig = Rig::new(PAGES);
    let mut stops = 0;
    for index in 0..calls {
        if random.below(16) == 0 {
            fill(&mut random, &mut rig);
        }
        stack(&mut random, &mut rig);
        if random.below(8) == 0 && stops < STOPS {
            // In and out again: the edits go, and the registers come back from the vCPU.
            stops += 1;
            rig.machine.run().unwrap();
        }
        let label = format!("seed {seed}, call {index}");
        let result = if random.below(12) == 0 {
            let address = argument(&mut random, &rig);
            let error_code = random.below(32);
            let vector = if random.below(2) == 0 { PAGE_FAULT } else { u8::try_from(random.below(32)).unwrap() };
            let address = (vector == PAGE_FAULT).then_some(address);
            let mut watch = watch(WALL);
            rig.kernel(&mut watch).exception(Exception { vector, error_code, address }).map(drop)
        } else {
            let number = number(&mut random);
            call(&mut random, &mut rig, number, &label)
        };
        if !goes_on(result, &rig, &label) || stops == STOPS {
            rig = Rig::new(PAGES);
            stops = 0;
        }
    }
}

/// One system call, again and again, each time in another state of registers and memory.
fn play_number(number: u64, block: u64) {
    let seed = number << 32 | block;
    // A panic elsewhere does not say where it came from.
    eprintln!("AMPOULE_TEST_SEED={seed}: system call {number}, block {block}");
    let mut random = Random::seeded(seed);
    let mut rig = Rig::new(PAGES);
    for index in 0..BLOCK {
        if random.below(4) == 0 {
            fill(&mut random, &mut rig);
        }
        stack(&mut random, &mut rig);
        if random.below(4) == 0 {
            // Something that it may meet: a mapping, a file, a signal that waits.
            let other = self::number(&mut random);
            let label = format!("before {index}");
            let result = call(&mut random, &mut rig, other, &label);
            if !goes_on(result, &rig, &label) {
                rig = Rig::new(PAGES);
            }
        }
        let label = format!("state {index}");
        let result = call(&mut random, &mut rig, number, &label);
        if !goes_on(result, &rig, &label) {
            rig = Rig::new(PAGES);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok())
}

#[test]
fn whatever_a_program_asks_for_it_gets_a_value_an_errno_or_an_end_and_all_is_in_order() {
    const CALLS: u64 = 1500;
    if let Some(seed) = variable("AMPOULE_TEST_SEED") {
        return play(seed, CALLS);
    }
    for seed in 0..4 * variable("AMPOULE_TEST_SCALE").unwrap_or(1) {
        // A panic elsewhere does not say where it came from.
        eprintln!("seed {seed}");
        play(seed, CALLS);
    }
}

/// `AMPOULE_TEST_SCALE=500` makes it 10,000 states for each number.
#[test]
fn every_system_call_number_in_many_states_of_registers_and_memory_leaves_all_in_order() {
    if let Some(seed) = variable("AMPOULE_TEST_SEED") {
        return play_number(seed >> 32, seed & u64::from(u32::MAX));
    }
    for number in 0..=600 {
        for block in 0..variable("AMPOULE_TEST_SCALE").unwrap_or(1) {
            play_number(number, block);
        }
    }
}
