// guest: flags=-g,-fno-optimize-sibling-calls
// An exception that nobody catches, thrown in a function that is inlined twice over.
#include <cstdio>
#include <stdexcept>

namespace parser {

struct Token {
    int value;
    [[gnu::always_inline]] inline void check() const {
        if (value != 0) {
            throw std::runtime_error("token"); // mark: throw
        }
    }
};

template <typename T>
[[gnu::always_inline]] inline void visit(const T &token) {
    token.check(); // mark: visit
}

[[gnu::noinline]] void parse(int value) {
    Token token{value};
    visit(token); // mark: parse
    std::puts("parsed");
}

} // namespace parser

int main(int argc, char **) {
    parser::parse(argc); // mark: main
    return 0;
}
