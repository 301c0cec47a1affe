// guest: variants=coverage,memory
// A target in C++: words in containers, an exception through frames with variables, and one that nobody catches.
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

static unsigned __attribute__((noinline)) number_of(const std::string &word) {
    char copied[32] = {0};
    if (word.size() >= sizeof copied) throw std::length_error("a word is too long");
    word.copy(copied, sizeof copied - 1);
    unsigned number = 0;
    for (const char *at = copied; *at != 0; at++) {
        if (*at < '0' || *at > '9') throw std::invalid_argument(word);
        number = number * 10 + static_cast<unsigned>(*at - '0');
    }
    return number;
}

static unsigned sum_of(const std::vector<std::string> &words) {
    unsigned sum = 0;
    for (const std::string &word : words) {
        try {
            sum += number_of(word);
        } catch (const std::invalid_argument &) {
            // A word that is no number counts for itself.
            sum++;
        }
    }
    return sum;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    std::vector<std::string> words(1);
    std::map<std::string, unsigned> seen;
    for (size_t i = 0; i < size; i++) {
        if (data[i] != ' ')
            words.back().push_back(static_cast<char>(data[i]));
        else
            words.emplace_back();
    }
    for (const std::string &word : words) seen[word]++;
    return sum_of(words) == seen.size() ? 0 : -1;
}
