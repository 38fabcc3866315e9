/* sim_try.h - a run in a process of its own: whatever becomes of it, there is a verdict.
 *
 * A run ends well, with a finding, or with the death of its process: of a CHECK, a sanitizer, a
 * signal, or because it takes for ever. The last is a finding too.
 */
#ifndef SIM_TRY_H
#define SIM_TRY_H
#include "sim/sim_record.h"
#include "sim/sim_world.h"

#include <sys/types.h>

struct sim_verdict {
    bool found;
    uint64_t kind; /* findings of one kind have one cause, as far as one can tell */
    char finding[2048];
    char last_words[2048]; /* of a process that died: what it wrote to standard error */
};
struct sim_trial { /* shared with the process */
    bool ended;
    struct sim_result result;
    struct sim_record record;
};
struct sim_try {
    pid_t pid;    /* 0: nothing runs */
    int words_fd; /* the standard error of the process */
    struct sim_trial *trial;
};
/* Memory and a file for one try after the other; false: there is none. */
MUST_USE bool sim_try_init(struct sim_try *t);
void sim_try_deinit(struct sim_try *t);
/* Begin. level: the lines to record. False: no process could be started. */
MUST_USE bool sim_try_start(struct sim_try *t, const struct sim_options *given, enum sim_log level,
                            unsigned wall_s);
/* The process ended with that status of waitpid. */
void sim_try_end(struct sim_try *t, int status, struct sim_verdict *out);
/* Kill it, if it runs. */
void sim_try_cancel(struct sim_try *t);
/* Start, wait, and give the verdict. */
MUST_USE bool sim_try_run(struct sim_try *t, const struct sim_options *given, enum sim_log level,
                          unsigned wall_s, struct sim_verdict *out);

/* --- for processes that run many seeds --- */
/* A file in memory for what a process says last; -1: none. */
int sim_words_open(void);
/* Make it the standard error of this process. */
void sim_words_use(int fd);
/* Why a process died; status: of waitpid. */
void sim_words_verdict(int fd, int status, struct sim_verdict *out);
#endif
