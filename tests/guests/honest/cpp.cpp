// C++ as ordinary programs use it: streams, containers, algorithms, exceptions and run-time types. With an argument it throws what
// nobody catches: `uncaught` an exception, `unexpected` through noexcept, `int` a number.
#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <variant>
#include <vector>

struct Loud {
    explicit Loud(int n) : number(n) { std::cout << "made " << number << '\n'; }
    ~Loud() { std::cout << "gone " << number << '\n'; }
    int number;
};

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};
struct Square : Shape {
    explicit Square(double side) : side(side) {}
    double area() const override { return side * side; }
    double side;
};
struct Circle : Shape {
    explicit Circle(double radius) : radius(radius) {}
    double area() const override { return 3.14159265358979 * radius * radius; }
    double radius;
};

struct OwnError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

static Loud global(0);
static thread_local std::string per_thread = "thread local";

static int fall(int depth) {
    Loud guard(depth);
    if (depth == 3) throw OwnError("from the bottom");
    return fall(depth + 1) + 1;
}

static void exceptions() {
    try {
        fall(1);
    } catch (const std::logic_error &) {
        std::cout << "the wrong handler\n";
    } catch (const std::exception &error) {
        std::cout << "caught " << error.what() << (dynamic_cast<const OwnError *>(&error) ? " (own)" : "") << '\n';
    }
    try {
        try {
            throw 42;
        } catch (int number) {
            std::cout << "an int: " << number << '\n';
            throw;
        }
    } catch (...) {
        std::cout << "thrown again\n";
    }
    try {
        try {
            throw std::invalid_argument("inner");
        } catch (...) {
            std::throw_with_nested(OwnError("outer"));
        }
    } catch (const OwnError &outer) {
        try {
            std::rethrow_if_nested(outer);
        } catch (const std::exception &inner) {
            std::cout << outer.what() << " because of " << inner.what() << '\n';
        }
    }
    try {
        std::vector<int>{1, 2, 3}.at(7);
    } catch (const std::out_of_range &) {
        std::cout << "out of range\n";
    }
    try {
        std::vector<char> absurd;
        absurd.reserve(absurd.max_size());
        std::cout << "absurd\n";
    } catch (const std::bad_alloc &) {
        std::cout << "bad alloc\n";
    }
    int caught = 0;
    for (int i = 0; i < 2000; i++) try {
            if (i % 2) throw std::to_string(i);
        } catch (const std::string &) {
            caught++;
        }
    std::cout << caught << " caught\n";
}

static void unexpected() noexcept { throw OwnError("through noexcept"); }

static void leave(const std::string &way) {
    std::cout << "before" << std::endl;
    if (way == "uncaught") throw std::runtime_error("nobody catches this");
    if (way == "unexpected") unexpected();
    if (way == "int") throw 7;
}

/* How long so many readings took; for inside, where they are to take no system calls. */
static void reads() {
    const auto from = std::chrono::steady_clock::now();
    auto latest = std::chrono::system_clock::now();
    for (int i = 0; i < 5000; i++) {
        if (std::chrono::steady_clock::now() < from) return;
        latest = std::max(latest, std::chrono::system_clock::now());
    }
    std::cout << std::chrono::nanoseconds(std::chrono::steady_clock::now() - from).count() << '\n';
}

int main(int argc, char **argv) {
    if (argc > 1 && argv[1] == std::string("reads")) return reads(), 0;
    if (argc > 1) leave(argv[1]);
    exceptions();
    std::cout << per_thread << '\n';
    std::map<std::string, int> words;
    std::size_t lines = 0;
    for (std::string line; std::getline(std::cin, line); lines++) {
        std::istringstream split(line);
        for (std::string word; split >> word;) words[word]++;
    }
    std::cout << lines << " lines\n";
    for (const auto &[word, count] : words) std::cout << std::setw(12) << std::left << word << count << '\n';

    std::mt19937_64 random(5489);
    std::vector<std::uint64_t> numbers(20000);
    std::generate(numbers.begin(), numbers.end(), std::ref(random));
    std::sort(numbers.begin(), numbers.end());
    std::cout << std::is_sorted(numbers.begin(), numbers.end()) << ' ' << numbers[10000] << ' '
              << std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0}) << '\n';
    std::unordered_map<std::uint64_t, std::string> table;
    for (auto number : numbers) table[number % 1009] += 'x';
    std::cout << table.size() << " rows\n";

    std::vector<std::unique_ptr<Shape>> shapes;
    shapes.push_back(std::make_unique<Square>(1.5));
    shapes.push_back(std::make_unique<Circle>(2));
    for (const auto &shape : shapes)
        std::cout << std::fixed << std::setprecision(4) << shape->area() << (dynamic_cast<Circle *>(shape.get()) ? " round" : "") << '\n';
    std::cout << typeid(*shapes[0]).name() << ' ' << std::hex << 255 << std::dec << ' ' << std::scientific << 12345.678 << '\n';

    auto shared = std::make_shared<Loud>(77);
    std::weak_ptr<Loud> weak = shared;
    shared.reset();
    std::cout << weak.expired() << '\n';
    std::variant<int, std::string> either = std::string("text");
    std::cout << std::get<std::string>(either) << ' ' << std::optional<int>{}.value_or(9) << '\n';
    std::set<int> set{3, 1, 2};
    std::cout << *set.rbegin() << '\n';

    std::ofstream("note.txt") << "written by a stream\n";
    std::ifstream note("note.txt");
    std::string text((std::istreambuf_iterator<char>(note)), {});
    std::cout << text << std::ifstream("absent").good() << '\n';
    auto start = std::chrono::steady_clock::now();
    std::cout << (std::chrono::steady_clock::now() >= start) << std::endl;
    std::cerr << "on stderr\n";
}
