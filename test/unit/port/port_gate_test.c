/* Gates: a send leaves only when its ticket and all earlier ones are durable. */
#include "port/port_internal.h"
#include "port_test.h"

static void hold(struct port_gates *g, uint64_t gate, struct port_conn *c, const char *text)
{
    struct buf b = {0};

    buf_printf(&b, "%s", text);
    port_gates_hold(g, gate, c, &b);
    assert_null(b.data);
}

static void expect_pop(struct port_gates *g, const char *text)
{
    struct port_gated *gated = port_gates_pop(g);

    assert_non_null(gated);
    assert_int_equal(gated->data.len, strlen(text));
    assert_memory_equal(gated->data.data, text, strlen(text));
    gated->conn->gated--;
    buf_free(&gated->data);
    mem_free(gated);
}

static void in_order_of_tickets(void **state)
{
    struct port_gates g;
    struct port_conn c = {0};

    (void)state;
    port_gates_init(&g);
    port_gates_issued(&g, 1);
    hold(&g, 2, &c, "two");
    hold(&g, 1, &c, "one");
    hold(&g, 2, &c, "two again");
    assert_int_equal(c.gated, 3);
    assert_null(port_gates_pop(&g));
    port_gates_done(&g, 1, true);
    assert_int_equal(g.durable, 1);
    expect_pop(&g, "one");
    assert_null(port_gates_pop(&g));
    port_gates_issued(&g, 2);
    port_gates_done(&g, 2, true);
    expect_pop(&g, "two");
    expect_pop(&g, "two again");
    assert_null(port_gates_pop(&g));
    assert_int_equal(c.gated, 0);
    port_gates_free(&g);
}

/* A batch that spans two segments is two writes with one ticket. */
static void last_write_counts(void **state)
{
    struct port_gates g;

    (void)state;
    port_gates_init(&g);
    port_gates_issued(&g, 5);
    port_gates_issued(&g, 5);
    port_gates_done(&g, 5, true);
    assert_int_equal(g.durable, 0);
    port_gates_done(&g, 5, true);
    assert_int_equal(g.durable, 5);
    port_gates_free(&g);
}

/* The disk was full: the ticket is durable only once it was written again, and
 * no later one before it. */
static void failure_blocks(void **state)
{
    struct port_gates g;

    (void)state;
    port_gates_init(&g);
    port_gates_issued(&g, 1);
    port_gates_issued(&g, 1);
    port_gates_issued(&g, 2);
    port_gates_done(&g, 1, true);
    port_gates_done(&g, 1, false);
    port_gates_done(&g, 2, true);
    assert_int_equal(g.durable, 0);
    port_gates_issued(&g, 1);
    assert_int_equal(g.durable, 0);
    port_gates_done(&g, 1, true);
    assert_int_equal(g.durable, 2);
    port_gates_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_of_tickets),
        cmocka_unit_test(last_write_counts),
        cmocka_unit_test(failure_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
