/* sim_words.h - what the command lines of the simulator's words have in common. */
#ifndef SIM_WORDS_H
#define SIM_WORDS_H
#include "base/base.h"

enum sim_taken {
    SIM_WORD_UNKNOWN, /* there is no such option */
    SIM_WORD_BAD,     /* its value makes no sense */
    SIM_WORD_VALUE,   /* taken, with its value */
    SIM_WORD_FLAG,    /* taken; it has no value */
};
/* to: the caller's. value: "" where the command ends after the name. */
typedef enum sim_taken sim_take(void *to, const char *name, const char *value);

/* Takes every word. False: why names what makes no sense. */
MUST_USE bool sim_words_take(int argc, char **argv, sim_take *take, void *to, struct diag *why);
enum sim_taken sim_word_judge(bool good); /* VALUE or BAD */

/* Whole numbers, decimal, or 0x... and 0...; false: no number, or not within bounds. */
MUST_USE bool sim_word_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);
MUST_USE bool sim_word_u32(const char *text, uint32_t least, uint32_t most, uint32_t *out);
/* "1.25", not negative, at most `most`. */
MUST_USE bool sim_word_fraction(const char *text, double most, double *out);
/* "1.25" seconds in microseconds; false: no number, negative, or too large. */
MUST_USE bool sim_word_seconds(const char *text, uint64_t *out_us);

/* Numbers with commas between them. */
struct sim_word_list {
    uint32_t *to, *count;
    uint32_t room, least, most;
};
MUST_USE bool sim_word_numbers(const char *text, struct sim_word_list list);
#endif
