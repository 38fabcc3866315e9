/* Disk operations on a real directory, the directory's lock and format. */
#include "port/port_internal.h"
#include "port_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char folder[64];
static struct port_dir *dir;
static struct port_files *files;
static struct port_bounce bounce;

static enum err run_op(struct disk_op *op, struct buf *read)
{
    struct disk_done done;

    op->token = 77;
    port_file_run(files, op, &bounce, &done, read);
    buf_free(&op->data);
    assert_int_equal(done.token, 77);
    if (done.err != ERR_OK) {
        assert_non_null(strstr(done.why.text, op->path)); /* the sentence names the file */
    }
    return done.err;
}

static enum err write_op(const char *path, uint64_t offset, const char *text, bool sync)
{
    struct disk_op op = {.kind = DISK_WRITE, .offset = offset, .sync = sync};

    (void)snprintf(op.path, sizeof op.path, "%s", path);
    buf_printf(&op.data, "%s", text);
    return run_op(&op, NULL);
}

static enum err block_op(const char *path, uint64_t offset, uint8_t fill, size_t len)
{
    struct disk_op op = {.kind = DISK_WRITE, .offset = offset, .sync = true};

    (void)snprintf(op.path, sizeof op.path, "%s", path);
    buf_reserve(&op.data, len);
    memset(op.data.data, fill, len);
    op.data.len = len;
    return run_op(&op, NULL);
}

static enum err path_op(enum disk_op_kind kind, const char *path, const char *path2, uint64_t size)
{
    struct disk_op op = {.kind = kind, .offset = size};

    (void)snprintf(op.path, sizeof op.path, "%s", path);
    (void)snprintf(op.path2, sizeof op.path2, "%s", path2);
    return run_op(&op, NULL);
}

static void expect_read(const char *path, uint64_t offset, size_t bytes, const char *text)
{
    struct disk_op op = {.kind = DISK_READ, .offset = offset, .read_bytes = bytes};
    struct buf out = {0};

    (void)snprintf(op.path, sizeof op.path, "%s", path);
    assert_int_equal(run_op(&op, &out), ERR_OK);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.data, text, strlen(text));
    buf_free(&out);
}

static off_t size_of(const char *path)
{
    struct stat s;

    return fstatat(port_dir_fd(dir), path, &s, 0) == 0 ? s.st_size : -1;
}

static void write_and_read(void **state)
{
    struct disk_op op = {.kind = DISK_READ, .path = "snap/none", .read_bytes = 10};
    struct buf out = {0};

    (void)state;
    assert_int_equal(write_op("snap/a", 0, "hello world", false), ERR_OK);
    assert_int_equal(write_op("snap/a", 6, "there", true), ERR_OK);
    expect_read("snap/a", 0, 100, "hello there"); /* short at the end */
    expect_read("snap/a", 6, 3, "the");
    expect_read("snap/a", 50, 3, "");
    assert_int_equal(path_op(DISK_SYNC, "snap/a", "", 0), ERR_OK);
    assert_int_equal(run_op(&op, &out), ERR_NOT_FOUND);
    buf_free(&out);
}

static void blocks_past_the_cache(void **state)
{
    struct buf out = {0};
    struct diag why;
    struct disk_boot boot = port_dir_boot(dir);

    (void)state;
    assert_int_equal(path_op(DISK_ALLOCATE, "log/1", "", 4 << 20), ERR_OK);
    assert_int_equal(size_of("log/1"), 4 << 20);
    expect_read("log/1", (4 << 20) - 2, 0, "");
    assert_int_equal(block_op("log/1", 4096, 'x', 4096), ERR_OK);
    assert_int_equal(block_op("log/1", 8192, 'y', 3 << 20), ERR_OK); /* larger than the bounce */
    assert_int_equal(boot.read(boot.self, "log/1", 4095, 2, &out, &why), ERR_OK);
    assert_memory_equal(out.data, "\0x", 2);
    out.len = 0;
    assert_int_equal(boot.read(boot.self, "log/1", 8191 + (3 << 20), 3, &out, &why), ERR_OK);
    assert_memory_equal(out.data, "y\0\0", 3);
    assert_int_equal(size_of("log/1"), 4 << 20); /* still inside */
    buf_free(&out);
}

/* A path whose file was exchanged means the new file, also for who had it open. */
static void cache_follows_names(void **state)
{
    (void)state;
    assert_int_equal(write_op("log/a", 0, "first", true), ERR_OK);
    assert_int_equal(write_op("log/b", 0, "second", true), ERR_OK);
    assert_int_equal(path_op(DISK_RENAME, "log/b", "log/a", 0), ERR_OK);
    assert_int_equal(write_op("log/a", 6, "!", true), ERR_OK);
    expect_read("log/a", 0, 20, "second!");
    assert_int_equal(path_op(DISK_UNLINK, "log/a", "", 0), ERR_OK);
    assert_int_equal(path_op(DISK_UNLINK, "log/a", "", 0), ERR_OK); /* absent is no error */
    assert_int_equal(write_op("log/a", 0, "third", true), ERR_OK);
    expect_read("log/a", 0, 20, "third");
    assert_int_equal(path_op(DISK_RENAME, "log/none", "log/c", 0), ERR_IO);
}

static void replace_is_whole(void **state)
{
    struct disk_op op = {.kind = DISK_REPLACE, .path = "meta/m"};

    (void)state;
    assert_int_equal(write_op("meta/m", 0, "a long old text", true), ERR_OK);
    buf_printf(&op.data, "new");
    assert_int_equal(run_op(&op, NULL), ERR_OK);
    expect_read("meta/m", 0, 100, "new");
    assert_int_equal(size_of("meta/m.new"), -1);
}

static void many_files(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) { /* more than the cache has places */
        char path[32];

        (void)snprintf(path, sizeof path, "snap/many%d", i);
        assert_int_equal(write_op(path, 0, path, true), ERR_OK);
    }
    expect_read("snap/many0", 0, 100, "snap/many0");
}

/* As when snapshots of all partitions are received at once: many files that are written
 * to by turns and none of which is synced yet. A full disk leaves them like that. */
static void many_unsynced_files(void **state)
{
    char path[32], text[2 * sizeof path];

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 300; i++) { /* more than the cache has places */
            (void)snprintf(path, sizeof path, "snap/open%d", i);
            assert_int_equal(write_op(path, (uint64_t)turn * strlen(path), path, false), ERR_OK);
        }
    }
    for (int i = 0; i < 300; i++) {
        (void)snprintf(path, sizeof path, "snap/open%d", i);
        (void)snprintf(text, sizeof text, "%s%s", path, path);
        assert_int_equal(path_op(DISK_SYNC, path, "", 0), ERR_OK);
        expect_read(path, 0, 100, text);
    }
}

/* Where every file kept open has failed, the next is refused; giving one up makes room. */
static void many_failed_files(void **state)
{
    char path[32];
    int i = 0;

    (void)state;
    for (; i < 1000; i++) {
        (void)snprintf(path, sizeof path, "snap/bad%d", i);
        assert_int_equal(symlinkat("/dev/null", port_dir_fd(dir), path), 0);
        assert_int_equal(write_op(path, 0, "x", true), ERR_IO);
        if (write_op("snap/good", 0, "x", true) != ERR_OK) {
            break;
        }
        assert_int_equal(path_op(DISK_UNLINK, "snap/good", "", 0), ERR_OK);
    }
    assert_in_range(i, 10, 999);
    assert_int_equal(path_op(DISK_UNLINK, path, "", 0), ERR_OK);
    assert_int_equal(write_op("snap/good", 0, "x", true), ERR_OK);
}

static void device_without_space(void **state)
{
    (void)state;
    assert_int_equal(symlinkat("/dev/full", port_dir_fd(dir), "snap/full"), 0);
    assert_int_equal(write_op("snap/full", 0, "x", false), ERR_NO_SPACE);
    assert_int_equal(unlinkat(port_dir_fd(dir), "snap/full", 0), 0);
}

/* /dev/null cannot be synced: the failure sticks, though a second try might "succeed". */
static void failed_sync_sticks(void **state)
{
    (void)state;
    assert_int_equal(symlinkat("/dev/null", port_dir_fd(dir), "snap/null"), 0);
    assert_int_equal(write_op("snap/null", 0, "x", true), ERR_IO);
    assert_int_equal(write_op("snap/null", 0, "x", true), ERR_IO);
    assert_int_equal(write_op("snap/null", 0, "x", false), ERR_IO);
    assert_int_equal(path_op(DISK_SYNC, "snap/null", "", 0), ERR_IO);
}

/* A real, small file system: what was half allocated is given back. */
static void full_disk(void **state)
{
    char at[128];

    (void)state;
    (void)snprintf(at, sizeof at, "%s/log", folder);
    if (mount("tmpfs", at, "tmpfs", 0, "size=4m") != 0) {
        skip(); /* needs root */
    }
    assert_int_equal(path_op(DISK_ALLOCATE, "log/1", "", 2 << 20), ERR_OK);
    assert_int_equal(path_op(DISK_ALLOCATE, "log/2", "", 3 << 20), ERR_NO_SPACE);
    assert_int_equal(size_of("log/2"), -1);
    assert_int_equal(path_op(DISK_ALLOCATE, "log/2", "", 1 << 20), ERR_OK);
    assert_int_equal(block_op("log/1", 0, 'z', 1 << 20), ERR_OK); /* inside: needs no space */
    assert_int_equal(block_op("log/3", 0, 'z', 2 << 20), ERR_NO_SPACE);
    assert_int_equal(path_op(DISK_UNLINK, "log/2", "", 0), ERR_OK);
    assert_int_equal(path_op(DISK_UNLINK, "log/3", "", 0), ERR_OK);
    assert_int_equal(block_op("log/3", 0, 'z', 1 << 20), ERR_OK); /* space came back */
    port_files_destroy(files);
    files = port_files_create(port_dir_fd(dir));
    assert_int_equal(umount(at), 0);
}

struct seen {
    char names[256];
    uint64_t bytes;
};
static void visit(void *arg, const char *name, uint64_t bytes)
{
    struct seen *seen = arg;

    (void)snprintf(seen->names + strlen(seen->names), sizeof seen->names - strlen(seen->names),
                   "%s ", name);
    seen->bytes += bytes;
}

static void boot_lists_by_name(void **state)
{
    struct disk_boot boot = port_dir_boot(dir);
    struct seen seen = {0};
    struct diag why;
    struct buf out = {0};

    (void)state;
    assert_int_equal(write_op("meta/c", 0, "12", true), ERR_OK);
    assert_int_equal(write_op("meta/a", 0, "123", true), ERR_OK);
    assert_int_equal(write_op("meta/b", 0, "1", true), ERR_OK);
    assert_int_equal(boot.list(boot.self, "meta", visit, &seen, &why), ERR_OK);
    assert_string_equal(seen.names, "a b c ");
    assert_int_equal(seen.bytes, 6);
    assert_int_equal(boot.list(boot.self, "nothing", visit, &seen, &why), ERR_OK);
    assert_int_equal(boot.read(boot.self, "meta/none", 0, 1, &out, &why), ERR_NOT_FOUND);
    buf_free(&out);
}

static void directory_is_locked(void **state)
{
    struct port_dir *second;
    struct diag why;
    char pid[32];

    (void)state;
    assert_int_equal(port_dir_open(folder, &second, &why), ERR_BUSY);
    (void)snprintf(pid, sizeof pid, "process %d;", (int)getpid());
    assert_non_null(strstr(why.text, pid));
    assert_non_null(strstr(why.text, folder));
}

static void directory_of_another_format(void **state)
{
    char path[128];
    struct port_dir *d;
    struct diag why;
    FILE *f;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/other/VERSION", folder);
    *strrchr(path, '/') = '\0';
    assert_int_equal(port_dir_open(path, &d, &why), ERR_OK);
    port_dir_close(d);
    path[strlen(path)] = '/';
    f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f, "synod data directory, format 9\n");
    (void)fclose(f);
    *strrchr(path, '/') = '\0';
    assert_int_equal(port_dir_open(path, &d, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "format 9"));
    assert_int_equal(port_dir_open("/dev/null/x", &d, &why), ERR_IO);
    assert_non_null(strstr(why.text, "/dev/null/x"));
}

static int set_up(void **state)
{
    struct diag why;

    (void)state;
    test_dir_make(folder);
    assert_int_equal(port_dir_open(folder, &dir, &why), ERR_OK);
    files = port_files_create(port_dir_fd(dir));
    bounce = port_bounce_new(1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    port_files_destroy(files);
    port_bounce_free(&bounce);
    port_dir_close(dir);
    test_dir_remove(folder);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(write_and_read),
        TEST(blocks_past_the_cache),
        TEST(cache_follows_names),
        TEST(replace_is_whole),
        TEST(many_files),
        TEST(many_unsynced_files),
        TEST(many_failed_files),
        TEST(device_without_space),
        TEST(failed_sync_sticks),
        TEST(full_disk),
        TEST(boot_lists_by_name),
        TEST(directory_is_locked),
        TEST(directory_of_another_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
