/* Three nodes that gossip: who is alive, suspect, dead or gone to whom, whatever of packets and
 * connections works; and packets that say nothing true. */
#include "node/node_internal.h"
#include "node_trio.h"

#include "base/base_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* With a probe each 200 ms: known dead after a probe or two and a suspicion of 0.8 to 4.8 s. */
enum { SECOND_US = 1000 * 1000, SOON_US = 2 * SECOND_US, DEAD_US = 8 * SECOND_US };

static struct trio t;

static int setup(void **state)
{
    (void)state;
    trio_open_gossip(&t);
    trio_run(&t, SOON_US);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

static struct swim_id id_of(unsigned node)
{
    struct swim_id id;

    memcpy(id.b, t.at[node].node->id.b, sizeof id.b);
    return id;
}

/* What `at` holds of a member. */
static struct swim_record held(unsigned at, struct swim_id id)
{
    struct swim_record r = {.state = SWIM_UNKNOWN};

    (void)swim_find(node_swim(t.at[at].node), &id, &r);
    return r;
}

static void assert_all_alive(void)
{
    for (unsigned i = 0; i < TRIO; i++) {
        for (unsigned k = 0; k < TRIO; k++) {
            assert_string_equal(swim_state_name(held(i, id_of(k)).state), "alive");
        }
        swim_check(node_swim(t.at[i].node));
    }
}

static uint64_t refutations(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TRIO; i++) {
        sum += swim_stats(node_swim(t.at[i].node))->refutations;
    }
    return sum;
}

/* Whoever is founded together knows each other, with addresses, and nobody had to resolve any. */
static void founding_members_see_each_other(void **state)
{
    (void)state;
    assert_all_alive();
    for (unsigned i = 0; i < TRIO; i++) {
        struct swim_record r = held(0, id_of(i));
        struct swim_addr addr = trio_addr(i);

        assert_true(swim_addr_eq(&r.addr, &addr));
    }
    assert_non_null(strstr(trio_ask(&t, 0, "SYNOD MEMBERS\r\n", SOON_US), "127.0.0.1:17002"));
    assert_non_null(
        strstr(trio_ask(&t, 0, "INFO gossip\r\n", SOON_US), "gossip_members_alive:3\r\n"));
}

/* A member's restart is a life above all that was said of the former one. */
static void the_killed_is_dead_and_comes_back_higher(void **state)
{
    struct swim_id id = id_of(2);
    uint64_t before = held(0, id).incarnation;

    (void)state;
    trio_kill(&t, 2);
    trio_run(&t, DEAD_US);
    assert_int_equal(held(0, id).state, SWIM_DEAD);
    assert_int_equal(held(1, id).state, SWIM_DEAD);
    assert_non_null(strstr(trio_ask(&t, 0, "CLUSTER NODES\r\n", SOON_US), "master,fail "));
    assert_non_null(strstr(trio_ask(&t, 0, "SYNOD MEMBERS\r\n", SOON_US), "not connected dead"));
    trio_start(&t, 2);
    trio_run(&t, SOON_US);
    assert_all_alive();
    assert_true(held(0, id).incarnation > before);
}

/* Soon is sooner than anybody could have been suspected. */
static void who_stops_says_goodbye(void **state)
{
    struct swim_id id = id_of(2);

    (void)state;
    node_stop(t.at[2].node);
    trio_run(&t, 4 * SECOND_US);
    assert_true(t.at[2].stopped);
    assert_int_equal(held(0, id).state, SWIM_LEFT);
    assert_int_equal(held(1, id).state, SWIM_LEFT);
    assert_int_equal(swim_stats(node_swim(t.at[0].node))->suspicions, 0);
    trio_kill(&t, 2);
    trio_start(&t, 2);
    trio_run(&t, SOON_US);
    assert_all_alive();
}

/* Nobody hears a datagram of it; its connections prove that it lives. */
static void packets_dead_streams_alive(void **state)
{
    (void)state;
    trio_deafen(&t, 1, true);
    trio_run(&t, 2 * DEAD_US);
    assert_all_alive();
    assert_true(t.datagrams_lost > 50);
    assert_string_equal(trio_ask(&t, 1, "SET a 1\r\n", SOON_US), "+OK\r\n");
}

/* Its packets arrive and nobody can connect: for those who would use it, it is not there. */
static void streams_dead_packets_alive(void **state)
{
    struct swim_id id = id_of(1);

    (void)state;
    trio_cut_off(&t, 1, true);
    trio_run(&t, 3 * DEAD_US);
    assert_int_equal(held(0, id).state, SWIM_DEAD);
    assert_int_equal(held(2, id).state, SWIM_DEAD);
    assert_true(held(0, id).by_stream);
    trio_cut_off(&t, 1, false);
    trio_run(&t, DEAD_US);
    assert_all_alive();
}

/* One pair has lost its connection. Both are accused, prove themselves through the third, and
 * nobody is held dead. */
static void one_connection_dead_is_nobodys_death(void **state)
{
    (void)state;
    t.cut[0][1] = t.cut[1][0] = true;
    for (unsigned i = 0; i < 30; i++) {
        trio_run(&t, SECOND_US);
        assert_int_not_equal(held(2, id_of(0)).state, SWIM_DEAD);
        assert_int_not_equal(held(2, id_of(1)).state, SWIM_DEAD);
    }
    assert_true(refutations() > 0);
    t.cut[0][1] = t.cut[1][0] = false;
    trio_run(&t, DEAD_US);
    assert_all_alive();
}

static void damaged_packets_are_dropped_and_counted(void **state)
{
    struct node_gossip_counts before = node_gossip_counts(t.at[0].node), after;

    (void)state;
    t.harm = true;
    trio_run(&t, DEAD_US);
    after = node_gossip_counts(t.at[0].node);
    assert_true(after.packets_in > before.packets_in);
    assert_int_equal(after.dropped_sealed - before.dropped_sealed,
                     after.packets_in - before.packets_in);
    assert_all_alive(); /* as with no packets at all */
    assert_int_equal(after.dropped_garbled, 0);
}

static struct buf sealed(const struct swim_msg *m, const struct seal_keys *keys,
                         struct slice cluster)
{
    static const uint8_t nonce[SEAL_NONCE_BYTES] = {1, 2, 3};
    struct seal_ring *ring = seal_ring_create(keys);
    struct buf plain = {0}, out = {0};

    wire_put_swim(&plain, m);
    seal_packet(ring, nonce, cluster, buf_slice(&plain), &out);
    seal_ring_destroy(ring);
    buf_free(&plain);
    return out;
}

static struct slice cluster(void)
{
    return (struct slice){t.at[0].node->map.cluster.b, sizeof t.at[0].node->map.cluster.b};
}

/* "Node 2 is dead", as node 1 would say it to node 0. */
static struct swim_msg lie(struct swim_record *r)
{
    *r = (struct swim_record){.id = id_of(2), .state = SWIM_DEAD, .incarnation = 1000};
    r->addr = trio_addr(2);
    return (struct swim_msg){
        .kind = SWIM_GOSSIP, .from = id_of(1), .to = id_of(0), .record_count = 1, .records = r};
}

static void forged_and_foreign_packets_are_dropped_and_counted(void **state)
{
    struct seal_keys keys, others = {.count = 1, .key = {{7}}};
    struct node_gossip_counts counts;
    struct swim_record r;
    struct swim_msg m = lie(&r);
    struct buf b = sealed(&m, &others, cluster());

    (void)state;
    seal_keys_of_cluster(&keys, cluster());
    trio_datagram(&t, 1, 0, buf_slice(&b)); /* with a key that is none */
    buf_free(&b);
    b = sealed(&m, &keys, SLICE("another cluster!"));
    trio_datagram(&t, 1, 0, buf_slice(&b));
    trio_datagram(&t, 1, 0, SLICE("x"));
    buf_free(&b);
    m.from.b[3] ^= 1; /* nobody's id */
    b = sealed(&m, &keys, cluster());
    trio_datagram(&t, 1, 0, buf_slice(&b));
    buf_free(&b);
    m = lie(&r);
    m.kind = SWIM_STATE; /* belongs on a stream */
    b = sealed(&m, &keys, cluster());
    trio_datagram(&t, 1, 0, buf_slice(&b));
    buf_free(&b);
    m = lie(&r);
    r.id.b[3] ^= 1; /* a member that never was */
    b = sealed(&m, &keys, cluster());
    trio_datagram(&t, 1, 0, buf_slice(&b));
    buf_free(&b);
    trio_run(&t, 10000);
    counts = node_gossip_counts(t.at[0].node);
    assert_int_equal(counts.dropped_sealed, 3);
    assert_int_equal(counts.dropped_foreign, 1);
    assert_int_equal(counts.dropped_garbled, 1);
    assert_int_equal(counts.records_foreign, 1);
    assert_int_equal(held(0, r.id).state, SWIM_UNKNOWN);
    assert_all_alive();
}

/* The same lie from one who holds the key is believed, and the one it is about denies it. */
static void a_lie_of_a_member_is_denied(void **state)
{
    struct swim_record r;
    struct swim_msg m = lie(&r);
    struct seal_keys keys;
    struct buf b;

    (void)state;
    seal_keys_of_cluster(&keys, cluster());
    b = sealed(&m, &keys, cluster());
    trio_datagram(&t, 1, 0, buf_slice(&b));
    buf_free(&b);
    trio_run(&t, 2000);
    assert_int_equal(held(0, id_of(2)).state, SWIM_DEAD);
    trio_run(&t, SOON_US);
    assert_all_alive();
    assert_int_equal(held(0, id_of(2)).incarnation, 1001);
}

/* Keys are replaced one node at a time: a new one first opens, then seals, then the old one goes.
 */
static void keys_are_replaced_while_they_talk(void **state)
{
    struct seal_keys keys = {.count = 2, .key = {{1}, {2}}};
    struct seal_keys next = {.count = 2, .key = {{2}, {1}}};
    const struct seal_keys *steps[] = {&keys, &next};

    (void)state;
    for (unsigned i = 0; i < TRIO; i++) {
        node_packet_keys(t.at[i].node, steps[0]);
    }
    trio_run(&t, SECOND_US);
    uint64_t dropped = node_gossip_counts(t.at[0].node).dropped_sealed;

    for (unsigned i = 0; i < TRIO; i++) {
        node_packet_keys(t.at[i].node, steps[1]);
        trio_run(&t, SECOND_US);
    }
    assert_int_equal(node_gossip_counts(t.at[0].node).dropped_sealed, dropped);
    assert_all_alive();
    /* Who rotates them sees by fingerprints and counts who seals with what; never a key. */
    char want[64];
    const char *said = trio_ask(&t, 0, "SYNOD KEYS\r\n", SOON_US);

    (void)snprintf(want, sizeof want, "key 1 fingerprint %08x seals and opens, opened ",
                   seal_fingerprint(steps[1]->key[0]));
    assert_non_null(strstr(said, want));
    assert_null(strstr(said, "opens, opened 0 packets"));
    assert_non_null(strstr(said, "\nconfigured; packets that none of them opened: "));
}

static void keys_of_the_cluster_are_said_to_be_no_secret(void **state)
{
    (void)state;
    const char *said = trio_ask(&t, 0, "SYNOD KEYS\r\n", SOON_US);

    assert_non_null(strstr(said, "key 1 fingerprint "));
    assert_null(strstr(said, "key 2"));
    assert_non_null(strstr(said, "no secret"));
}

/* Both files are gone: it begins at one, hears how far it had come, and goes beyond. */
static void a_lost_incarnation_is_found_again(void **state)
{
    struct swim_id id = id_of(2);
    uint64_t before;

    (void)state;
    trio_kill(&t, 2);
    trio_run(&t, SECOND_US);
    trio_start(&t, 2);
    trio_run(&t, SOON_US);
    before = held(0, id).incarnation;
    assert_true(before > 1);
    trio_kill(&t, 2);
    rig_lose(&t.at[2], "meta/incarnation");
    rig_lose(&t.at[2], "meta/incarnation.copy");
    trio_start(&t, 2);
    trio_run(&t, DEAD_US);
    assert_all_alive();
    assert_true(held(0, id).incarnation > before);
}

static void one_damaged_file_is_made_good(void **state)
{
    struct swim_id id = id_of(2);
    uint64_t before = held(0, id).incarnation;

    (void)state;
    trio_kill(&t, 2);
    rig_file(&t.at[2], "meta/incarnation")->data[20] ^= 1;
    trio_start(&t, 2);
    trio_run(&t, SOON_US);
    assert_all_alive();
    assert_true(held(0, id).incarnation > before);
    assert_int_equal(swim_stats(node_swim(t.at[2].node))->conflicts, 0);
}

static void settings_change_while_it_runs(void **state)
{
    struct swim_tuning u;

    (void)state;
    assert_string_equal(trio_ask(&t, 0, "CONFIG SET gossip-interval-ms 1000\r\n", SOON_US),
                        "+OK\r\n");
    swim_tuning(node_swim(t.at[0].node), &u);
    assert_true(u.probe_us >= 1000000);
    trio_run(&t, DEAD_US);
    assert_all_alive();
}

static void tell(unsigned from, unsigned to, struct swim_record *r)
{
    struct swim_msg m = {
        .kind = SWIM_GOSSIP, .from = id_of(from), .to = id_of(to), .record_count = 1, .records = r};
    struct seal_keys keys;
    struct buf b;

    seal_keys_of_cluster(&keys, cluster());
    b = sealed(&m, &keys, cluster());
    trio_datagram(&t, from, to, buf_slice(&b));
    buf_free(&b);
}

/* Its link is up and its replicas have everything: only what is said of it speaks against it. */
static void who_is_suspect_is_given_no_leadership(void **state)
{
    struct swim_record r = held(0, id_of(2));
    bool led[4], any = false;

    (void)state;
    for (uint32_t p = 0; p < 4; p++) {
        led[p] = node_group_leads(&t.at[0].node->groups[p]);
        any = any || led[p];
    }
    assert_true(any);
    trio_deafen(&t, 2, true); /* or it would deny that at once */
    r.state = SWIM_SUSPECT;
    r.by = id_of(1);
    tell(1, 0, &r);
    trio_run(&t, 20000);
    assert_int_equal(held(0, id_of(2)).state, SWIM_SUSPECT);
    assert_non_null(strstr(trio_ask(&t, 0, "CLUSTER NODES\r\n", SOON_US), "master,fail? "));
    node_stop(t.at[0].node);
    trio_run(&t, 600000);
    for (uint32_t p = 0; p < 4; p++) {
        assert_true(!led[p] || node_group_leads(&t.at[1].node->groups[p]));
    }
}

/* A frame that is late, of somebody who is no member: nothing of it is believed. */
static void a_strangers_record_in_a_view_is_left_out(void **state)
{
    struct swim_record r[2] = {held(0, id_of(2)), held(0, id_of(2))};
    struct swim_msg m = {.kind = SWIM_STATE,
                         .from = id_of(1),
                         .to = id_of(0),
                         .last = true,
                         .record_count = 2,
                         .records = r};
    struct buf b = {0};
    size_t mark = wire_begin(&b, WIRE_SWIM);

    (void)state;
    r[0].id.b[5] ^= 1;
    r[1].incarnation += 5;
    wire_put_swim(&b, &m);
    wire_end(&b, mark);
    trio_inject(&t, 1, 0, buf_slice(&b));
    buf_free(&b);
    trio_run(&t, 20000);
    assert_int_equal(held(0, r[0].id).state, SWIM_UNKNOWN);
    assert_int_equal(node_gossip_counts(t.at[0].node).records_foreign, 1);
    assert_int_equal(swim_count(node_swim(t.at[0].node), SWIM_ALIVE), TRIO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(founding_members_see_each_other),
        TEST(the_killed_is_dead_and_comes_back_higher),
        TEST(who_stops_says_goodbye),
        TEST(packets_dead_streams_alive),
        TEST(streams_dead_packets_alive),
        TEST(one_connection_dead_is_nobodys_death),
        TEST(damaged_packets_are_dropped_and_counted),
        TEST(forged_and_foreign_packets_are_dropped_and_counted),
        TEST(a_lie_of_a_member_is_denied),
        TEST(keys_are_replaced_while_they_talk),
        TEST(keys_of_the_cluster_are_said_to_be_no_secret),
        TEST(a_lost_incarnation_is_found_again),
        TEST(one_damaged_file_is_made_good),
        TEST(settings_change_while_it_runs),
        TEST(who_is_suspect_is_given_no_leadership),
        TEST(a_strangers_record_in_a_view_is_left_out),
    };

    return cmocka_run_group_tests_name("gossip", tests, NULL, NULL);
}
