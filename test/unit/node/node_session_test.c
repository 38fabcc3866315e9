/* What a client of a one-node cluster sees, byte by byte. */
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void replies_keep_the_order_of_requests(void **state)
{
    (void)state;
    /* Writes wait for the disk, PING does not: it is answered in its turn all the same. */
    assert_string_equal(rig_ask(&rig, "SET a 1\r\nPING\r\nGET a\r\nINCR a\r\nGET nothing\r\n"),
                        "+OK\r\n+PONG\r\n$1\r\n1\r\n:2\r\n$-1\r\n");
}

static void nothing_is_acknowledged_before_it_is_durable(void **state)
{
    (void)state;
    rig.hold_log = true;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\nPING\r\n"), "");
    rig.hold_log = false;
    rig.out.len = 0;
    rig_turns(&rig, 5, NODE_TICK_US);
    put_u8(&rig.out, 0);
    assert_string_equal((const char *)rig.out.data, "+OK\r\n+PONG\r\n");
}

static void what_was_acknowledged_is_there_after_a_crash(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\nHSET h f v\r\nINCR n\r\n"),
                        "+OK\r\n:1\r\n:1\r\n");
    rig_reopen(&rig);
    assert_string_equal(rig_ask(&rig, "GET a\r\nHGET h f\r\nGET n\r\n"),
                        "$1\r\n1\r\n$1\r\nv\r\n$1\r\n1\r\n");
}

static void an_unanswered_write_may_be_gone_after_a_crash(void **state)
{
    (void)state;
    rig.hold_log = true;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\n"), "");
    rig.hold_log = false;
    rig_reopen(&rig);
    assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$-1\r\n");
}

static void keys_of_two_slots_are_refused(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "MSET a 1 b 2\r\n"),
                        "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_string_equal(rig_ask(&rig, "MSET {t}a 1 {t}b 2\r\nMGET {t}b {t}a\r\n"),
                        "+OK\r\n*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
}

static void all_partitions_answer_together(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\nSET b 1\r\nSET c 1\r\nDBSIZE\r\n"),
                        "+OK\r\n+OK\r\n+OK\r\n:3\r\n");
    assert_string_equal(rig_ask(&rig, "KEYS [a]\r\n"), "*1\r\n$1\r\na\r\n");
    assert_string_equal(rig_ask(&rig, "FLUSHALL\r\nDBSIZE\r\nRANDOMKEY\r\n"),
                        "+OK\r\n:0\r\n$-1\r\n");
    assert_string_equal(rig_ask(&rig, "SET only 1\r\nRANDOMKEY\r\n"), "+OK\r\n$4\r\nonly\r\n");
}

static void scan_visits_every_partition(void **state)
{
    char ask[64] = "SCAN 0\r\n";
    unsigned found = 0;

    (void)state;
    (void)rig_ask(&rig, "SET a 1\r\nSET b 1\r\nSET c 1\r\nSET d 1\r\n");
    for (unsigned i = 0; i < 100; i++) {
        const char *reply = rig_ask(&rig, ask);
        unsigned long cursor, keys;

        assert_int_equal(sscanf(reply, "*2\r\n$%*u\r\n%lu\r\n*%lu\r\n", &cursor, &keys), 2);
        found += (unsigned)keys;
        if (cursor == 0) {
            assert_int_equal(found, 4);
            return;
        }
        (void)snprintf(ask, sizeof ask, "SCAN %lu\r\n", cursor);
    }
    fail_msg("the cursor never came back to 0");
}

/* Found by the simulator: replicas, and lives of one, hashed keys each in its own way, so that
 * a cursor of SCAN led past keys that were there all the time. */
static void a_scan_goes_on_after_a_restart(void **state)
{
    enum { KEYS = 300 };
    static bool seen[KEYS];
    unsigned long cursor = 0, rounds = 0;
    char ask[64];

    (void)state;
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(ask, sizeof ask, "SET key:%u 1\r\n", i);
        assert_string_equal(rig_ask(&rig, ask), "+OK\r\n");
    }
    do {
        const char *reply;

        (void)snprintf(ask, sizeof ask, "SCAN %lu COUNT 5\r\n", cursor);
        reply = rig_ask(&rig, ask);
        assert_int_equal(sscanf(reply, "*2\r\n$%*u\r\n%lu\r\n", &cursor), 1);
        for (const char *at = reply; (at = strstr(at, "key:")) != NULL; at++) {
            seen[strtoul(at + 4, NULL, 10)] = true;
        }
        if (++rounds % 10 == 0) {
            rig_reopen(&rig);
        }
    } while (cursor != 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(seen[i]);
    }
}

static void an_expired_item_is_removed_through_the_log(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1 PX 500\r\nPTTL nothing\r\n"), "+OK\r\n:-2\r\n");
    rig.now.wall_ms += 400 - 100; /* asking took 100 ms */
    assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$1\r\n1\r\n");
    rig.now.wall_ms += 1000;
    assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$-1\r\n");
    /* The clock goes back: it stays gone. */
    rig.now.wall_ms -= 1400;
    assert_string_equal(rig_ask(&rig, "GET a\r\nDBSIZE\r\n"), "$-1\r\n:0\r\n");
}

/* A real cluster answered GET with nothing and PERSIST behind it with 1: the time of the read was
 * that of its answer, later than the time under which PERSIST was in the log already. */
static void a_read_is_not_later_than_the_write_behind_it(void **state)
{
    static const char persisted[] = "SET a 1 PX 10\r\nGET a\r\nPERSIST a\r\nGET a\r\n";
    static const char deleted[] =
        "SET b 1 PX 10\r\nEXISTS b\r\nDEL b\r\nSET b 2 PX 10\r\nGET b\r\n";

    (void)state;
    rig.hold_log = true;
    rig_send(&rig, persisted, sizeof persisted - 1);
    rig.now.wall_ms += 1000;
    rig.hold_log = false;
    assert_string_equal(rig_ask(&rig, "PING\r\n"), "+OK\r\n$1\r\n1\r\n:1\r\n$1\r\n1\r\n+PONG\r\n");
    rig.hold_log = true;
    rig_send(&rig, deleted, sizeof deleted - 1);
    rig.now.wall_ms += 1000;
    rig.hold_log = false;
    /* Behind the last read there is no write: its time is the present. */
    assert_string_equal(rig_ask(&rig, "PING\r\n"), "+OK\r\n:1\r\n:1\r\n+OK\r\n$-1\r\n+PONG\r\n");
}

/* The mix of real faults, with full disks: what the read had found came behind the error, and every
 * later reply of the connection was taken for that of the request before. */
static void a_read_that_waited_for_a_removal_in_vain_is_one_error(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1 PX 500\r\n"), "+OK\r\n");
    rig.now.wall_ms += 1000;
    rig.hold_log = true;
    rig.out.len = 0;
    rig_send(&rig, "EXISTS a\r\nPING\r\n", 16);
    rig_turns(&rig, 6000, 1000);
    rig.hold_log = false;
    put_u8(&rig.out, 0);
    assert_string_equal((const char *)rig.out.data,
                        "-TRYAGAIN no majority confirmed the leader in time; nothing was done\r\n"
                        "+PONG\r\n");
    assert_string_equal(rig_ask(&rig, "EXISTS a\r\n"), ":0\r\n");
}

static void client_reply_modes(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nCLIENT REPLY ON\r\n"
                                      "GET a\r\n"),
                        "+OK\r\n$1\r\n1\r\n");
    assert_string_equal(rig_ask(&rig, "CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n"), "$1\r\n2\r\n");
}

static void resp3_after_hello(void **state)
{
    const char *reply;

    (void)state;
    reply = rig_ask(&rig, "HELLO 3\r\n");
    assert_memory_equal(reply, "%7\r\n", 4);
    assert_string_equal(rig_ask(&rig, "GET nothing\r\nHSET h f v\r\nHGETALL h\r\n"),
                        "_\r\n:1\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    assert_string_equal(rig_ask(&rig, "HELLO 4\r\n"), "-NOPROTO unsupported protocol version\r\n");
}

static void broken_protocol_is_answered_and_closed(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\n*1\r\n!bad\r\nPING\r\n"),
                        "+OK\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    assert_true(rig.closed);
}

static void quit_closes_after_its_reply(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\nQUIT\r\nPING\r\n"), "+OK\r\n+OK\r\n");
    assert_true(rig.closed);
}

static void unknown_commands_and_wrong_arity(void **state)
{
    (void)state;
    assert_string_equal(rig_ask(&rig, "NONSENSE x\r\nGET\r\nSYNOD.EXPIRE 1\r\n"),
                        "-ERR unknown command 'NONSENSE', with args beginning with: 'x' \r\n"
                        "-ERR wrong number of arguments for 'get' command\r\n"
                        "-ERR unknown command 'SYNOD.EXPIRE', with args beginning with: '1' \r\n");
}

static void a_client_that_does_not_read_is_made_to_wait_then_cut_off(void **state)
{
    static char value[64 << 10];

    (void)state;
    memset(value, 'x', sizeof value);
    static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$65536\r\n";

    rig_send(&rig, head, sizeof head - 1);
    rig_send(&rig, value, sizeof value);
    assert_string_equal(rig_ask(&rig, "\r\n"), "+OK\r\n");
    for (unsigned i = 0; i < 64; i++) {
        rig_send(&rig, "GET v\r\n", 7); /* nothing is ever reported as sent */
    }
    assert_true(rig.reading_off);
    assert_true(rig.out.len < 3U << 20); /* the soft limit, and one reply beyond it */
    assert_false(rig.closed);
    /* It begins to read: what it asked meanwhile is answered. */
    size_t answered = 0;

    node_begin(rig.node, rig.now);
    node_sent(rig.node, 1, 0);
    node_end(rig.node, &rig.fx);
    for (size_t i = 0; i < rig.fx.count; i++) {
        if (rig.fx.at[i].kind == NODE_SEND && rig.fx.at[i].conn == 1) {
            answered += rig.fx.at[i].data.len;
        }
        if (rig.fx.at[i].kind == NODE_SEND || rig.fx.at[i].kind == NODE_LOG) {
            buf_free(&rig.fx.at[i].data);
        }
    }
    assert_true(answered > sizeof value);
}

static void a_full_disk_refuses_writes_and_recovers(void **state)
{
    char set[256];
    const char *reply = "";

    (void)state;
    rig.disk_full = true;
    for (unsigned i = 0; i < 4000 && strncmp(reply, "-MISCONF", 8) != 0; i++) {
        (void)snprintf(set, sizeof set, "SET k%u %0128u\r\n", i, i);
        rig.out.len = 0;
        rig_send(&rig, set, strlen(set));
        rig_turns(&rig, 3, NODE_TICK_US);
        put_u8(&rig.out, 0);
        reply = (const char *)rig.out.data;
    }
    assert_memory_equal(reply, "-MISCONF", 8);
    assert_string_equal(rig_ask(&rig, "GET k0\r\nPING\r\n") + 1,
                        "128\r\n" /* reads go on */
                        "0000000000000000000000000000000000000000000000000000000000000000"
                        "0000000000000000000000000000000000000000000000000000000000000000\r\n"
                        "+PONG\r\n");
    rig.disk_full = false;
    rig_turns(&rig, 1000, NODE_TICK_US);
    assert_string_equal(rig_ask(&rig, "SET after 1\r\n"), "+OK\r\n");
}

static void a_clean_stop_closes_and_ends(void **state)
{
    (void)state;
    (void)rig_ask(&rig, "SET a 1\r\n");
    node_begin(rig.node, rig.now);
    node_stop(rig.node);
    node_end(rig.node, &rig.fx);
    for (size_t i = 0; i < rig.fx.count; i++) {
        if (rig.fx.at[i].kind == NODE_LOG) {
            buf_free(&rig.fx.at[i].data);
        }
    }
    rig_turns(&rig, 1000, NODE_TICK_US);
    assert_true(rig.stopped);
    assert_true(rig.closed);
}

/* Found by a seed in which a stopping node's process took a connection late: the client took
 * "max number of clients" for the reply to its first command, and could not know whether that
 * had been done. */
static void a_client_that_comes_during_a_stop_is_told_that_nothing_was_done(void **state)
{
    bool told = false;

    (void)state;
    node_begin(rig.node, rig.now);
    node_stop(rig.node);
    node_accepted(rig.node, 3, NODE_CONN_CLIENT, "10.0.0.9:1000");
    node_end(rig.node, &rig.fx);
    for (size_t i = 0; i < rig.fx.count; i++) {
        struct node_effect *e = &rig.fx.at[i];

        if (e->kind == NODE_SEND && e->conn == 3) {
            assert_memory_equal(e->data.data, "-TRYAGAIN ", 10);
            told = true;
        }
        if (e->kind == NODE_SEND || e->kind == NODE_LOG) {
            buf_free(&e->data);
        }
    }
    assert_true(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(replies_keep_the_order_of_requests),
        RIG_TEST(nothing_is_acknowledged_before_it_is_durable),
        RIG_TEST(what_was_acknowledged_is_there_after_a_crash),
        RIG_TEST(an_unanswered_write_may_be_gone_after_a_crash),
        RIG_TEST(keys_of_two_slots_are_refused),
        RIG_TEST(all_partitions_answer_together),
        RIG_TEST(scan_visits_every_partition),
        RIG_TEST(a_scan_goes_on_after_a_restart),
        RIG_TEST(an_expired_item_is_removed_through_the_log),
        RIG_TEST(a_read_is_not_later_than_the_write_behind_it),
        RIG_TEST(a_read_that_waited_for_a_removal_in_vain_is_one_error),
        RIG_TEST(client_reply_modes),
        RIG_TEST(resp3_after_hello),
        RIG_TEST(broken_protocol_is_answered_and_closed),
        RIG_TEST(quit_closes_after_its_reply),
        RIG_TEST(unknown_commands_and_wrong_arity),
        RIG_TEST(a_client_that_does_not_read_is_made_to_wait_then_cut_off),
        RIG_TEST(a_full_disk_refuses_writes_and_recovers),
        RIG_TEST(a_clean_stop_closes_and_ends),
        RIG_TEST(a_client_that_comes_during_a_stop_is_told_that_nothing_was_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
