#include "sim/sim_try.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int sim_words_open(void)
{
    return memfd_create("last words", MFD_CLOEXEC);
}

void sim_words_use(int fd)
{
    if (fd >= 0 && dup2(fd, STDERR_FILENO) < 0) {
        return; /* then it goes where it always went */
    }
}

/* --- why did it die? --- */

/* The line that says it, cut out of the words of a dying process. */
static struct slice telling_line(const char *words)
{
    static const char *const signs[] = {"CHECK failed", "SUMMARY: ", "runtime error", "ERROR: "};
    const char *at = NULL;
    const char *from;

    for (size_t i = 0; i < ARRAY_COUNT(signs) && at == NULL; i++) {
        at = strstr(words, signs[i]);
    }
    if (at == NULL) {
        return (struct slice){0};
    }
    from = at;
    while (from > words && from[-1] != '\n') {
        from--;
    }
    while (strncmp(from, "../", 3) == 0) { /* of a build directory */
        from += 3;
    }
    return (struct slice){(const uint8_t *)from, strcspn(from, "\n")};
}

static void read_words(int fd, char *out, size_t size)
{
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t got = fd < 0 ? 0 : pread(fd, out, size - 1, from);

    out[got > 0 ? got : 0] = 0;
}

void sim_words_verdict(int fd, int status, struct sim_verdict *out)
{
    struct slice line;
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    *out = (struct sim_verdict){.found = true};
    read_words(fd, out->last_words, sizeof out->last_words);
    line = telling_line(out->last_words);
    if (sig == SIGALRM) {
        (void)snprintf(out->finding, sizeof out->finding, "the run takes for ever");
    } else if (line.len > 0) {
        (void)snprintf(out->finding, sizeof out->finding, "the process died: %.*s", (int)line.len,
                       (const char *)line.data);
    } else {
        (void)snprintf(out->finding, sizeof out->finding, "the process died: %s",
                       sig != 0 ? strsignal(sig) : "it ended early");
    }
    out->kind = hash64_seeded(line.data, line.len, (uint64_t)sig + 1);
}

/* --- one run --- */

bool sim_try_init(struct sim_try *t)
{
    void *shared =
        mmap(NULL, sizeof *t->trial, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    *t = (struct sim_try){.words_fd = -1};
    if (shared == MAP_FAILED) {
        return false;
    }
    t->trial = shared;
    t->words_fd = sim_words_open();
    return true;
}

void sim_try_deinit(struct sim_try *t)
{
    sim_try_cancel(t);
    if (t->trial != NULL) {
        (void)munmap(t->trial, sizeof *t->trial);
    }
    if (t->words_fd >= 0) {
        (void)close(t->words_fd);
    }
    *t = (struct sim_try){.words_fd = -1};
}

static _Noreturn void run(struct sim_try *t, const struct sim_options *given, unsigned wall_s)
{
    struct sim_options opt = *given;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    sim_words_use(t->words_fd);
    (void)alarm(wall_s);
    opt.record = &t->trial->record;
    sim_world_run(&opt, &t->trial->result);
    t->trial->ended = true;
    _exit(0);
}

bool sim_try_start(struct sim_try *t, const struct sim_options *given, enum sim_log level,
                   unsigned wall_s)
{
    struct sim_record *r = &t->trial->record;

    CHECK(t->pid == 0);
    t->trial->ended = false;
    r->level = level;
    r->now_us = r->faults_from_us = r->lines = 0;
    r->faults.count = r->ops.count = 0;
    if (t->words_fd >= 0 && (ftruncate(t->words_fd, 0) != 0 || lseek(t->words_fd, 0, 0) != 0)) {
        return false;
    }
    (void)fflush(stdout);
    t->pid = fork();
    if (t->pid == 0) {
        run(t, given, wall_s);
    }
    if (t->pid < 0) {
        t->pid = 0;
        return false;
    }
    return true;
}

void sim_try_end(struct sim_try *t, int status, struct sim_verdict *out)
{
    const struct sim_result *r = &t->trial->result;

    t->pid = 0;
    if (!t->trial->ended) {
        sim_words_verdict(t->words_fd, status, out);
        return;
    }
    *out = (struct sim_verdict){.found = r->found, .kind = r->kind};
    memcpy(out->finding, r->finding, sizeof out->finding);
}

void sim_try_cancel(struct sim_try *t)
{
    int status;

    if (t->pid > 0) {
        (void)kill(t->pid, SIGKILL);
        while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR) {
        }
        t->pid = 0;
    }
}

bool sim_try_run(struct sim_try *t, const struct sim_options *given, enum sim_log level,
                 unsigned wall_s, struct sim_verdict *out)
{
    int status = 0;

    if (!sim_try_start(t, given, level, wall_s)) {
        return false;
    }
    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR) {
    }
    sim_try_end(t, status, out);
    return true;
}
