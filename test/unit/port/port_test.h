/* port_test.h - what the tests of this room share. */
#ifndef PORT_TEST_H
#define PORT_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* A fresh directory; removed with everything in it by test_dir_remove. */
static inline void test_dir_make(char out[64])
{
    (void)snprintf(out, 64, "/tmp/synod-port-XXXXXX");
    assert_non_null(mkdtemp(out));
}
static inline void test_dir_remove(const char *dir)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}
#endif
