/* Flags and configuration lines: every refusal names the flag and the remedy. */
#include "port_test.h"
#include "server/server_file.h"
#include "server/server_options.h"

enum { ARGS_MAX = 16 };

/* Splits at spaces; flags, then the text of a file (may be NULL), then the whole. */
static enum err parse(struct server_options *o, const char *flags, const char *file,
                      struct diag *why)
{
    char text[1024], *argv[ARGS_MAX], *save = NULL;
    int argc = 0;
    enum err err;

    (void)snprintf(text, sizeof text, "%s", flags);
    for (char *at = strtok_r(text, " ", &save); at != NULL; at = strtok_r(NULL, " ", &save)) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = at;
    }
    why->text[0] = '\0';
    server_options_init(o);
    err = server_options_flags(o, argc, argv, why);
    if (err == ERR_OK && file != NULL) {
        err = server_options_text(o, "f", slice_str(file), why);
    }
    return err != ERR_OK ? err : server_options_finish(o, why);
}

struct refusal {
    const char *flags, *file, *says;
};
static const struct refusal refusals[] = {
    {"--dir d --listen 127.0.0.1:1 --frob 1", NULL, "unknown flag --frob"},
    {"--dir d --listen 127.0.0.1:1 --replica 1", NULL, "did you mean --replicas"},
    {"dir d", NULL, "unknown flag dir"},
    {"--dir", NULL, "--dir needs a value"},
    {"--listen 127.0.0.1:1", NULL, "--dir DIR is missing"},
    {"--dir d", NULL, "--listen HOST:PORT is missing"},
    {"--dir d --dir e", NULL, "--dir is given twice"},
    {"--dir d --listen nowhere", NULL, "--listen nowhere: expected HOST:PORT"},
    {"--dir d --listen 127.0.0.1:0", NULL, "--listen 127.0.0.1:0"},
    {"--dir d --listen 127.0.0.1:65536", NULL, "--listen 127.0.0.1:65536"},
    {"--dir d --listen ::1:7001", NULL, "[V6-ADDRESS]:PORT"},
    {"--dir d --listen []:7001", NULL, "--listen []:7001"},
    {"--dir d --listen 127.0.0.1:60000", NULL, "say --peer"},
    {"--dir d --listen 0.0.0.0:7001", NULL, "--advertise"},
    {"--dir d --listen [::]:7001", NULL, "--advertise"},
    {"--dir d --listen 0.0.0.0:7001 --advertise 0.0.0.0:7001", NULL, "--advertise 0.0.0.0:7001"},
    {"--dir d --listen h:1 --found a:1,a:1", NULL, "without repetition"},
    {"--dir d --listen h:1 --found a:1,", NULL, "--found a:1,"},
    {"--dir d --listen h:1 --found a:1,,b:1", NULL, "--found"},
    {"--dir d --listen h:1 --found a:1 --bootstrap", NULL, "exclude each other"},
    {"--dir d --listen h:1 --found a:1 --join b:1", NULL, "exclude each other"},
    {"--dir d --listen h:1 --workers 2", NULL, "one worker"},
    {"--dir d --listen h:1 --gossip-key", NULL, "--gossip-key needs a value"},
    {"--dir d --listen h:1 --gossip-key=", NULL, "expected a file name"},
    {"--dir d --listen h:1 --io kqueue", NULL, "auto, uring or epoll"},
    {"--dir d --listen h:1 --partitions 48", NULL, "a power of two"},
    {"--dir d --listen h:1 --partitions 32768", NULL, "a power of two"},
    {"--dir d --listen h:1 --replicas 0", NULL, "1..7"},
    {"--dir d --listen h:1 --maxclients -1", NULL, "--maxclients -1"},
    {"--dir d --listen h:1 --maxclients 1x", NULL, "--maxclients 1x"},
    {"--dir d --listen h:1 --zone 4294967296", NULL, "--zone"},
    {"--dir d --listen h:1 --log-level loud", NULL, "debug, info, warn or error"},
    {"--dir d", "listen h:1\nfrob 1\n", "f line 2: unknown name frob"},
    {"--dir d", "listen nowhere\n", "f line 1: listen nowhere: expected"},
    {"--dir d", "listen\n", "f line 1: listen : expected"},
    {"--dir d", "config g\n", "f line 1: unknown name config"},
    {"--dir d --bootstrap", "listen h:1\nfound a:1\n", "exclude each other"},
    {"--dir d", "listen h:1\nbootstrap maybe\n", "f line 2: bootstrap maybe"},
};

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct refusal *r = &refusals[i];
        struct server_options o;
        struct diag why;

        if (parse(&o, r->flags, r->file, &why) != ERR_BAD_ARGUMENT ||
            strstr(why.text, r->says) == NULL) {
            fail_msg("\"%s\" says \"%s\", not \"%s\"", r->flags, why.text, r->says);
        }
    }
}

static void defaults(void **state)
{
    struct server_options o;
    struct diag why;

    (void)state;
    assert_int_equal(parse(&o, "--dir d --listen 127.0.0.1:7001", NULL, &why), ERR_OK);
    assert_string_equal(o.peer, "127.0.0.1:17001");
    assert_string_equal(o.node.peer_addr, "127.0.0.1:17001");
    assert_string_equal(o.node.client_addr, "127.0.0.1:7001");
    assert_int_equal(o.node.start, NODE_START_PRESENT);
    assert_int_equal(o.io, PORT_IO_AUTO);
    assert_int_equal(parse(&o, "--dir d --listen=[::1]:7001 --bootstrap", NULL, &why), ERR_OK);
    assert_string_equal(o.peer, "[::1]:17001");
    assert_int_equal(o.node.start, NODE_START_BOOTSTRAP);
}

static void advertised(void **state)
{
    struct server_options o;
    struct diag why;

    (void)state;
    assert_int_equal(
        parse(&o, "--dir d --listen 0.0.0.0:7001 --advertise db1.example:443", NULL, &why), ERR_OK);
    assert_string_equal(o.listen, "0.0.0.0:7001");
    assert_string_equal(o.peer, "0.0.0.0:17001");
    assert_string_equal(o.node.client_addr, "db1.example:443");
    assert_string_equal(o.node.peer_addr, "db1.example:17001");
}

static void keys_from_a_file(void **state)
{
    char path[] = "/tmp/synod-keys-XXXXXX";
    struct seal_keys keys;
    struct diag why;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(server_keys_read(path, &keys, &why), ERR_BAD_ARGUMENT);
    assert_non_null(strstr(why.text, "no key in it"));
    static const char text[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(server_keys_read(path, &keys, &why), ERR_OK);
    assert_int_equal(keys.count, 1);
    assert_int_equal(seal_fingerprint(keys.key[0]), 0x6075bbea);
    assert_int_equal(write(fd, "x\n", 2), 2);
    assert_int_equal(server_keys_read(path, &keys, &why), ERR_BAD_ARGUMENT);
    assert_non_null(strstr(why.text, path));
    assert_non_null(strstr(why.text, "line 2"));
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(server_keys_read(path, &keys, &why), ERR_BAD_ARGUMENT);
    assert_non_null(strstr(why.text, "larger than 16 KiB"));
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(server_keys_read(path, &keys, &why), ERR_BAD_ARGUMENT);
    assert_non_null(strstr(why.text, "cannot open --gossip-key"));
}

static void file_and_flags(void **state)
{
    static const char file[] = "# a node\n"
                               "listen 10.0.0.1:7001\r\n"
                               "\n"
                               "  found  10.0.0.1:17001,10.0.0.2:17001\t\n"
                               "io epoll\n"
                               "replicas 1";
    struct server_options o;
    struct diag why;

    (void)state;
    assert_int_equal(parse(&o, "--dir d --io uring", file, &why), ERR_OK);
    assert_string_equal(o.listen, "10.0.0.1:7001");
    assert_int_equal(o.io, PORT_IO_URING); /* the flag wins */
    assert_int_equal(o.node.seed_count, 2);
    assert_string_equal(o.node.seeds[1], "10.0.0.2:17001");
    assert_int_equal(o.node.start, NODE_START_FOUND);
    assert_int_equal(o.node.replicas, 1);
    assert_int_equal(parse(&o, "--dir d", "listen h:1\nbootstrap yes\n", &why), ERR_OK);
    assert_int_equal(o.node.start, NODE_START_BOOTSTRAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),          cmocka_unit_test(defaults),
        cmocka_unit_test(advertised),       cmocka_unit_test(file_and_flags),
        cmocka_unit_test(keys_from_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
