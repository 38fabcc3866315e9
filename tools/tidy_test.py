#!/usr/bin/env python3
"""Each rule of tidy.py: one tree that breaks it and one that does not."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

ROOMS = "# rank room\n0 base words\n1 core/ring x\n5 node x\n6 port x\n6 sim x\n"


def findings(files):
    with tempfile.TemporaryDirectory() as root:
        base = {"tools/rooms.txt": ROOMS}
        base.update(files)
        for path in list(files):
            if path.endswith(".c") and not any(f.endswith("meson.build") for f in files):
                base[os.path.dirname(path) + "/meson.build"] = "['%s']\n" % os.path.basename(path)
        for path, text in base.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w") as f:
                f.write(text)
        return tidy.run(root)[0].findings


def body(lines, name="ring_x", static=""):
    return "%svoid %s(int a)\n{\n%s}\n" % (static, name, "    a++;\n" * lines)


class Rules(unittest.TestCase):
    def bad(self, files, word):
        found = findings(files)
        self.assertTrue(any(word in f for f in found), "%r not in %r" % (word, found))

    def good(self, files):
        self.assertEqual(findings(files), [])

    def test_ranks(self):
        self.good({"src/node/node.c": '#include "core/ring/ring.h"\n#include "node/node.h"\n'})
        self.bad({"src/core/ring/ring.c": '#include "node/node.h"\n'}, "may not include")
        self.bad({"src/sim/sim.c": '#include "port/port.h"\n'}, "may not include")
        self.bad({"src/sim/sim.c": '#include "sim.h"\n'}, "path from src/")

    def test_prefixes(self):
        self.bad({"src/core/ring/hash.c": "\n"}, "must start with the room's name")
        self.good({"src/core/ring/ring_hash.c": "\n"})
        self.bad({"src/core/ring/ring.c": body(1, "place")}, "lacks a prefix")
        self.good({"src/core/ring/ring.c": body(1, "place", "static ")})
        self.good({"src/core/ring/ring.c": body(1, "ring_place")})
        self.good({"src/core/ring/ring.c": body(1, "item_x"), "src/core/ring/ring_item.h": "\n"})
        self.good({"src/core/ring/ring.c": body(1, "walk"),
                   "src/core/ring/ring_internal.h": "void walk(int a);\n"})

    def test_banned(self):
        self.bad({"src/port/port.c": "x = strcpy(a, b);\n"}, "strcpy() is banned")
        self.bad({"test/unit/a.c": "x = rand();\n"}, "rand() is banned")
        self.good({"src/port/port.c": "x = time(0);\nprintf(x);\n"})
        self.bad({"src/node/node.c": "x = time(0);\n"}, "time() is banned")
        self.bad({"src/node/node.c": "p = malloc(3);\n"}, "malloc() is banned")
        self.good({"src/node/node.c": "a->read(3);\nb.free(x);\nmem_free(p);\nsnprintf(a);\n"})
        self.good({"src/node/node.c": "/* like malloc(3) */ const char *s = \"free(x)\";\n"})

    def test_columns_and_space(self):
        self.good({"src/node/node.c": "/*" + "x" * 98 + "\n*/\n"})
        self.bad({"src/node/node.c": "/*" + "x" * 99 + "\n*/\n"}, "101 columns")
        self.bad({"src/node/node.c": "int a; \n"}, "white space")
        self.bad({"src/node/node.c": "\tint a;\n"}, "a tab")
        self.bad({"src/node/node.c": "int a;"}, "no newline")

    def test_function_length(self):
        self.good({"src/core/ring/ring.c": body(67)})
        self.bad({"src/core/ring/ring.c": body(68)}, "has 71 lines")
        allow = {"tools/tidy_allow.txt": "# c\nsrc/core/ring/ring.c:ring_x 75\n"}
        self.good(dict(allow, **{"src/core/ring/ring.c": body(72)}))
        self.bad(dict(allow, **{"src/core/ring/ring.c": body(73)}), "has 76 lines")
        self.bad(dict(allow, **{"src/core/ring/ring.c": body(70)}), "is down to")
        self.bad(dict(allow, **{"src/core/ring/ring.c": body(5)}), "no longer needs")

    def test_unfinished_and_empty(self):
        self.bad({"src/node/node.c": "/* TODO: more */\n"}, "finish it")
        self.bad({"src/node/node.h": "/**\n *\n */\nint node_x(void);\n"}, "empty comment")
        self.good({"src/node/node.h": "/* Effect. */\nint node_x(void);\n"})

    def test_orphans(self):
        self.bad({"src/node/node.c": "\n", "src/node/meson.build": "[]\n"}, "no meson.build")
        self.good({"src/node/node.c": "\n", "src/node/meson.build": "['node.c']\n"})

    def test_links(self):
        self.bad({"docs/a.md": "see [b](b.md)\n"}, "leads nowhere")
        self.good({"docs/a.md": "see [b](b.md#c) [d](#e) [f](https://x.y)\n", "docs/b.md": "\n"})
        self.good({"docs/a.md": "```\n[b](b.md)\n```\n"})


if __name__ == "__main__":
    unittest.main(verbosity=0)
