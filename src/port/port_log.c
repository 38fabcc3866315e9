/* port_log.c - structured log lines on stderr. */
#include "port/port_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Set before the threads start; read by all of them. */
static enum node_log_level log_least = NODE_LOG_INFO;
static char log_node[16] = "-";

void port_log_level(enum node_log_level least)
{
    log_least = least;
}

void port_log_node(const char *id)
{
    (void)snprintf(log_node, sizeof log_node, "%.15s", id);
}

static const char *level_name(enum node_log_level level)
{
    switch (level) {
    case NODE_LOG_DEBUG:
        return "DEBUG";
    case NODE_LOG_INFO:
        return "INFO";
    case NODE_LOG_WARN:
        return "WARN";
    case NODE_LOG_ERROR:
        return "ERROR";
    }
    return "?";
}

/* Where the key=value pairs at the end of a text begin: the first space followed
 * by a word of small letters and '='. */
static size_t pairs_at(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        size_t j = i + 1;

        if (text.data[i] != ' ') {
            continue;
        }
        while (j < text.len && ((text.data[j] >= 'a' && text.data[j] <= 'z') ||
                                text.data[j] == '_' || text.data[j] == '.')) {
            j++;
        }
        if (j > i + 1 && j < text.len && text.data[j] == '=') {
            return i;
        }
    }
    return text.len;
}

static void put_escaped(struct buf *b, struct slice text, bool quotes)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (quotes && (c == '"' || c == '\\')) {
            put_u8(b, '\\');
        }
        put_u8(b, c < ' ' ? ' ' : c); /* one line is one line */
    }
}

void port_log_text(enum node_log_level level, struct slice text)
{
    struct timespec now;
    struct tm tm;
    struct buf line = {0};
    size_t pairs;

    if (level < log_least) {
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    buf_printf(&line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s node=%s ", tm.tm_year + 1900,
               tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
               (int)(now.tv_nsec / 1000000), level_name(level), log_node);
    if (text.len > 4 && memcmp(text.data, "msg=", 4) == 0) {
        put_escaped(&line, text, false);
    } else {
        pairs = pairs_at(text);
        buf_append(&line, "msg=\"", 5);
        put_escaped(&line, (struct slice){text.data, pairs}, true);
        put_u8(&line, '"');
        put_escaped(&line, (struct slice){text.data + pairs, text.len - pairs}, false);
    }
    put_u8(&line, '\n');
    if (write(STDERR_FILENO, line.data, line.len) < 0) {
        SOMETIMES(true, "port: a log line could not be written");
    }
    buf_free(&line);
}

void port_log(enum node_log_level level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (level < log_least) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    port_log_text(level, slice_str(text));
}
