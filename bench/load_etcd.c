/* etcd's KV service over a bare HTTP/2 connection (RFC 9113, RFC 7541): just enough for
 * one unary call at a time. Headers are put into the connection's dynamic table by the
 * first call and named by index afterwards, as a real client does. */
#include "load.h"

enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FLAG_ACK = 1,
    FLAG_END_STREAM = 1,
    FLAG_END_HEADERS = 4,
    FRAME_HEAD_BYTES = 9,
    /* Dynamic table, newest first, after `path`, `authority`, `type`, `te` were added. */
    INDEX_TE = 62,
    INDEX_TYPE,
    INDEX_AUTHORITY,
    INDEX_PATH,
};

static void put_u32be(struct buf *b, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    buf_append(b, bytes, sizeof bytes);
}

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream,
                      struct slice body)
{
    uint8_t head[5] = {(uint8_t)(body.len >> 16), (uint8_t)(body.len >> 8), (uint8_t)body.len, type,
                       flags};

    buf_append(b, head, sizeof head);
    put_u32be(b, stream);
    buf_append_slice(b, body);
}

/* A string of fewer than 127 bytes without Huffman coding. */
static void put_text(struct buf *b, const char *s)
{
    CHECK(strlen(s) < 127);
    put_u8(b, (uint8_t)strlen(s));
    buf_append(b, s, strlen(s));
}

/* Literal with incremental indexing: name by static index, or spelled out (0). */
static void put_header(struct buf *b, uint8_t static_name, const char *name, const char *value)
{
    put_u8(b, 0x40 | static_name);
    if (static_name == 0) {
        put_text(b, name);
    }
    put_text(b, value);
}

static void put_headers(struct load *l, struct load_conn *c)
{
    struct buf h = {0};

    put_u8(&h, 0x83); /* :method POST */
    put_u8(&h, 0x86); /* :scheme http */
    if (c->greeted) {
        put_u8(&h, 0x80 | INDEX_PATH);
        put_u8(&h, 0x80 | INDEX_AUTHORITY);
        put_u8(&h, 0x80 | INDEX_TYPE);
        put_u8(&h, 0x80 | INDEX_TE);
    } else {
        put_header(&h, 4, ":path",
                   l->opt.mode == LOAD_SET ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range");
        put_header(&h, 1, ":authority", l->opt.host[0]);
        put_header(&h, 31, "content-type", "application/grpc");
        put_header(&h, 0, "te", "trailers");
    }
    put_frame(&c->out, FRAME_HEADERS, FLAG_END_HEADERS, c->stream, buf_slice(&h));
    buf_free(&h);
}

/* The connection preface: large windows for what comes back, so that none is waited for. */
static void put_preface(struct load_conn *c)
{
    struct buf b = {0};

    buf_append(&c->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_u8(&b, 0);
    put_u8(&b, 4); /* SETTINGS_INITIAL_WINDOW_SIZE */
    put_u32be(&b, 1U << 30);
    put_frame(&c->out, FRAME_SETTINGS, 0, 0, buf_slice(&b));
    b.len = 0;
    put_u32be(&b, 1U << 30);
    put_frame(&c->out, FRAME_WINDOW_UPDATE, 0, 0, buf_slice(&b));
    buf_free(&b);
}

void load_etcd_batch(struct load *l, struct load_conn *c, uint32_t ops)
{
    struct buf pb = {0}, body = {0};

    CHECK(ops == 1);
    if (!c->greeted) {
        put_preface(c);
        c->stream = 1;
    } else {
        c->stream += 2;
    }
    put_headers(l, c);
    c->greeted = true;
    put_u8(&pb, 1 << 3 | 2); /* key */
    put_bytes(&pb, load_key(l));
    if (l->opt.mode == LOAD_SET) {
        put_u8(&pb, 2 << 3 | 2); /* PutRequest.value */
        put_bytes(&pb, (struct slice){l->value, l->opt.value_bytes});
    } else if (l->opt.mode == LOAD_GET_SERIALIZABLE) {
        put_u8(&pb, 7 << 3); /* RangeRequest.serializable */
        put_u8(&pb, 1);
    }
    put_u8(&body, 0); /* not compressed */
    put_u32be(&body, (uint32_t)pb.len);
    buf_append_slice(&body, buf_slice(&pb));
    put_frame(&c->out, FRAME_DATA, FLAG_END_STREAM, c->stream, buf_slice(&body));
    c->data_seen = false;
    buf_free(&pb);
    buf_free(&body);
}

/* A failed unary call answers with headers alone; a good one has data. So the status
 * need not be dug out of compressed headers. */
static bool take_frame(struct load *l, struct load_conn *c, uint8_t type, uint8_t flags,
                       struct slice body)
{
    switch (type) {
    case FRAME_DATA:
        c->data_seen = true;
        break;
    case FRAME_HEADERS:
        if (flags & FLAG_END_STREAM) {
            load_done(l, c, c->data_seen, SLICE("call failed"));
        }
        break;
    case FRAME_SETTINGS:
    case FRAME_PING:
        if (!(flags & FLAG_ACK)) {
            struct slice echo = type == FRAME_PING ? body : (struct slice){0};

            put_frame(&c->out, type, FLAG_ACK, 0, echo);
        }
        break;
    case FRAME_RST_STREAM:
        load_done(l, c, false, SLICE("stream reset"));
        break;
    case FRAME_GOAWAY:
        return false;
    default:
        break; /* window updates: one small call at a time never fills a window */
    }
    return true;
}

bool load_etcd_take(struct load *l, struct load_conn *c)
{
    size_t at = 0;

    while (c->in.len - at >= FRAME_HEAD_BYTES) {
        const uint8_t *head = c->in.data + at;
        size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

        if (c->in.len - at < FRAME_HEAD_BYTES + len) {
            break;
        }
        if (!take_frame(l, c, head[3], head[4], (struct slice){head + FRAME_HEAD_BYTES, len})) {
            return false;
        }
        at += FRAME_HEAD_BYTES + len;
    }
    buf_consume(&c->in, at);
    return true;
}
