#!/usr/bin/env python3
"""House rules that no compiler checks. Prints one line per finding; exit 1 if any.

    tidy.py [ROOT]      check the tree
    tidy.py --ratchet   lower (never raise) the maxima in tools/tidy_allow.txt

Rules: room ranks over #include (tools/rooms.txt), folder = file prefix = symbol prefix,
banned names, 100 columns, functions of 70 lines, marks of unfinished work, empty doc
comments, C files that no meson.build builds, relative links in docs that lead nowhere.
"""
import os
import re
import subprocess
import sys

COLUMNS = 100
FUNCTION_LINES = 70
PORT_RANK = 6  # from here up, I/O and clocks are the trade

BANNED_EVERYWHERE = {
    "strcpy": "say how much room there is: memcpy or snprintf",
    "strcat": "say how much room there is: buf_append",
    "sprintf": "say how much room there is: snprintf or buf_printf",
    "vsprintf": "say how much room there is: vsnprintf",
    "strtok": "it keeps hidden state",
    "rand": "chance comes from a seeded prng",
    "srand": "chance comes from a seeded prng",
    "random": "chance comes from a seeded prng",
    "gets": "it cannot be used safely",
    "alloca": "the stack has no error path",
}
BANNED_BELOW_PORT = {
    "time": "time arrives as an argument",
    "gettimeofday": "time arrives as an argument",
    "clock_gettime": "time arrives as an argument",
    "getrandom": "entropy arrives as an argument",
    "getentropy": "entropy arrives as an argument",
    "malloc": "mem_alloc",
    "calloc": "mem_zalloc",
    "realloc": "mem_realloc",
    "free": "mem_free",
    "printf": "effects go to the driver",
    "fprintf": "effects go to the driver",
    "puts": "effects go to the driver",
    "fopen": "files belong to the driver",
    "open": "files belong to the driver",
    "read": "files belong to the driver",
    "write": "files belong to the driver",
    "fsync": "files belong to the driver",
    "fdatasync": "files belong to the driver",
    "socket": "sockets belong to the driver",
    "send": "sockets belong to the driver",
    "recv": "sockets belong to the driver",
    "sleep": "time arrives as an argument",
    "usleep": "time arrives as an argument",
    "nanosleep": "time arrives as an argument",
    "getenv": "configuration arrives as an argument",
    "pthread_create": "cores have one thread",
}
# The two files that wrap the heap and the last words of the process.
WRAPPERS = {"src/base/base_mem.c", "src/base/base.c"}
UNFINISHED = re.compile(r"\b(FIXME|TODO|XXX|HACK)\b")
EMPTY_DOC = re.compile(r"/\*[\s*]*\*/")
# Common words that a symbol of any room may start with (libraries' callbacks, main).
FREE_SYMBOLS = {"main", "LLVMFuzzerTestOneInput", "LLVMFuzzerInitialize"}


class Tree:
    def __init__(self, root):
        self.root = root
        self.findings = []
        self.rooms = {}
        self.files = self.list_files()
        self.text = {}

    def list_files(self):
        """What git knows or would add; without git, everything outside build/."""
        try:
            out = subprocess.run(
                ["git", "-C", self.root, "ls-files", "-co", "--exclude-standard"],
                capture_output=True, text=True, check=True).stdout
            found = [f for f in out.split("\n") if f]
        except (OSError, subprocess.CalledProcessError):
            found = []
            for folder, folders, names in os.walk(self.root):
                folders[:] = [d for d in folders if d not in (".git", "build")]
                found += [os.path.relpath(os.path.join(folder, n), self.root) for n in names]
        return sorted(f for f in found if os.path.isfile(os.path.join(self.root, f)))

    def read(self, path):
        if path not in self.text:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
                self.text[path] = f.read()
        return self.text[path]

    def say(self, path, line, what):
        self.findings.append("%s:%d: %s" % (path, line, what))


def load_rooms(tree):
    for line in tree.read("tools/rooms.txt").split("\n"):
        words = line.split()
        if words and words[0] != "#":
            tree.rooms[words[1]] = int(words[0])


def room_of(tree, path):
    """The room of a path below src/, the longest folder that is one; None outside."""
    if path.startswith("src/"):
        path = path[4:]
    folder = os.path.dirname(path)
    while folder and folder not in tree.rooms:
        folder = os.path.dirname(folder)
    return folder or None


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """Comments and strings blanked, so that line numbers and columns stay."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


def line_at(text, pos):
    return text.count("\n", 0, pos) + 1


def check_includes(tree, path):
    mine = room_of(tree, path)
    if mine is None:
        if path.startswith("src/"):
            tree.say(path, 1, "in no room of tools/rooms.txt")
        return
    for n, line in enumerate(tree.read(path).split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        theirs = room_of(tree, m.group(1))
        if theirs is None:
            tree.say(path, n, "include \"%s\": give the path from src/, with a room" % m.group(1))
        elif theirs != mine and tree.rooms[theirs] >= tree.rooms[mine]:
            tree.say(path, n, "%s (rank %d) may not include %s (rank %d)" %
                     (mine, tree.rooms[mine], theirs, tree.rooms[theirs]))


def check_prefix(tree, path):
    room = room_of(tree, path)
    if room is None:
        return
    word = os.path.basename(room)
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem == word or stem.startswith(word + "_"):
        return
    # A room may have modules of its own name beside it: store has snapfile, core has none.
    # They keep the rule among themselves: the header says the prefix.
    heads = [os.path.splitext(os.path.basename(f))[0] for f in tree.files
             if f.endswith(".h") and os.path.dirname(f) == os.path.dirname(path)]
    if not any(stem == h or stem.startswith(h + "_") for h in heads):
        tree.say(path, 1, "file name must start with the room's name, %s_" % word)


def prefixes_of(tree, path):
    """What an external symbol of the file may start with: the room, or a header beside it,
    or the header's own word (item_ of store_item.h), which is private to the room."""
    room = os.path.basename(room_of(tree, path))
    folder = os.path.dirname(path)
    heads = {os.path.splitext(os.path.basename(f))[0] for f in tree.files
             if f.endswith(".h") and os.path.dirname(f) == folder}
    words = {h[len(room) + 1:] for h in heads if h.startswith(room + "_")}
    return {room} | heads | words


def is_private(tree, path, name):
    """Declared in the room's internal header alone: never seen outside."""
    return any(re.search(r"\b%s\b" % name, tree.read(f)) for f in tree.files
               if f.endswith("_internal.h") and os.path.dirname(f) == os.path.dirname(path))


def functions(text):
    """(name, first line, last line, static) of every function body in formatted code: a
    line that is only `{` opens it and a line that is only `}` closes it."""
    lines = code_only(text).split("\n")
    found, start = [], None
    for n, line in enumerate(lines):
        if line.rstrip() == "{" and start is None:
            head, back = "", n - 1
            while back >= 0 and lines[back].strip() and not re.search(r"[;}]\s*$", lines[back]) \
                    and not lines[back].startswith("#"):
                head = lines[back].strip() + " " + head
                back -= 1
            m = re.search(r"([A-Za-z_]\w*)\s*\((?!\()", re.sub(r"__attribute__\s*\(\(.*?\)\)\)?", "",
                                                                head))
            start = (m.group(1) if m else "?", back + 2, "static" in head.split("(")[0] if m
                     else True)
        elif line.rstrip() == "}" and start is not None:
            found.append((start[0], start[1], n + 1, start[2]))
            start = None
    return found


def check_functions(tree, path, allowed, grown):
    in_src = path.startswith("src/")
    prefixes = prefixes_of(tree, path) if in_src and room_of(tree, path) else set()
    for name, first, last, static in functions(tree.read(path)):
        length = last - first + 1
        key = path + ":" + name
        limit = max(allowed.get(key, 0), FUNCTION_LINES)
        if length > limit:
            tree.say(path, first, "function %s has %d lines; the limit is %d" %
                     (name, length, limit))
        elif length > FUNCTION_LINES:
            grown[key] = length
        if prefixes and not static and path.endswith(".c") and name not in FREE_SYMBOLS:
            if prefixes == {"base"} or os.path.basename(room_of(tree, path)) == "base":
                continue  # base gives everyone their words: buf_, list_, mem_, ...
            if not any(name == p or name.startswith(p + "_") for p in prefixes) and \
                    not is_private(tree, path, name):
                tree.say(path, first, "external symbol %s lacks a prefix of its room (%s)" %
                         (name, ", ".join(sorted(p + "_" for p in prefixes))))


def banned_names(tree, path):
    banned = dict(BANNED_EVERYWHERE)
    room = room_of(tree, path) if path.startswith("src/") else None
    if room is not None and tree.rooms[room] < PORT_RANK and path not in WRAPPERS:
        banned.update(BANNED_BELOW_PORT)
    return banned


def check_banned(tree, path):
    banned = banned_names(tree, path)
    code = code_only(tree.read(path))
    # A call of the name itself: not a field's (x->read(...)), not a longer word's.
    for m in re.finditer(r"(?<![\w.>])([a-z_]+)\s*\(", code):
        name = m.group(1)
        if name in banned and not re.search(r"(->|\.)\s*$", code[:m.start()]):
            tree.say(path, line_at(code, m.start()), "%s() is banned here: %s" %
                     (name, banned[name]))


def check_text(tree, path):
    text = tree.read(path)
    for n, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS:
            tree.say(path, n, "%d columns; the limit is %d" % (len(line), COLUMNS))
        if line != line.rstrip():
            tree.say(path, n, "white space at the end of the line")
        if "\t" in line:
            tree.say(path, n, "a tab")
        if UNFINISHED.search(line):
            tree.say(path, n, "finish it or file it: %s" % UNFINISHED.search(line).group(1))
    if path.endswith((".c", ".h")):
        for m in EMPTY_DOC.finditer(text):
            tree.say(path, line_at(text, m.start()), "an empty comment")
    if text and not text.endswith("\n"):
        tree.say(path, text.count("\n") + 1, "no newline at the end of the file")


def check_orphans(tree):
    """Every .c is named in the meson.build of its folder or of one above."""
    for path in tree.files:
        if not path.endswith(".c") or not path.startswith(("src/", "test/", "fuzz/", "bench/")):
            continue
        folder, found = os.path.dirname(path), False
        while not found:
            build = os.path.join(folder, "meson.build")
            name = os.path.relpath(path, folder or ".")
            if build in tree.files:
                found = "'%s'" % name in tree.read(build)
                stem = os.path.splitext(name)[0]
                found = found or "'%s'" % stem in tree.read(build)  # foreach over names
            if not folder:
                break
            folder = os.path.dirname(folder)
        if not found:
            tree.say(path, 1, "no meson.build names this file")


def check_links(tree, path):
    text = re.sub(r"```.*?```", blank, tree.read(path), flags=re.S)
    for m in re.finditer(r"\]\(([^)\s]+)\)", text):
        target = m.group(1).split("#")[0]
        if not target or re.match(r"[a-z]+:", target):
            continue
        if not os.path.exists(os.path.join(tree.root, os.path.dirname(path), target)):
            tree.say(path, line_at(text, m.start()), "link to %s leads nowhere" % target)


def load_allowed(tree):
    allowed = {}
    if "tools/tidy_allow.txt" in tree.files:
        for line in tree.read("tools/tidy_allow.txt").split("\n"):
            words = line.split()
            if words and words[0] != "#":
                allowed[words[0]] = int(words[1])
    return allowed


def check_allowed(tree, allowed, grown):
    """The list may only shrink: an entry must still be needed, and be exact."""
    for key, limit in sorted(allowed.items()):
        if key not in grown:
            tree.say("tools/tidy_allow.txt", 1, "%s no longer needs its exception" % key)
        elif grown[key] < limit:
            tree.say("tools/tidy_allow.txt", 1, "%s is down to %d lines; run tidy.py --ratchet" %
                     (key, grown[key]))


def is_own_text(path):
    if path.startswith(("fuzz/corpus/", "test/trace/", "LICENSE")):
        return False
    return path.endswith((".c", ".h", ".py", ".sh", ".txt", ".def")) or \
        path in ("dev", ".ci/run")


def run(root):
    tree = Tree(root)
    load_rooms(tree)
    allowed, grown = load_allowed(tree), {}
    for path in tree.files:
        if path.startswith("tools/tidy"):
            continue  # they hold every forbidden thing as an example
        if path.startswith("src/") and path.endswith((".c", ".h")):
            check_includes(tree, path)
            check_prefix(tree, path)
        if path.endswith((".c", ".h")):
            check_functions(tree, path, allowed, grown)
            check_banned(tree, path)
        if is_own_text(path):
            check_text(tree, path)
        if path.endswith(".md"):
            check_links(tree, path)
    check_orphans(tree)
    check_allowed(tree, allowed, grown)
    return tree, allowed, grown


def ratchet(root):
    tree, allowed, grown = run(root)
    kept = {k: min(v, grown[k]) for k, v in allowed.items() if k in grown}
    head = [l for l in tree.read("tools/tidy_allow.txt").split("\n") if l.startswith("#")]
    with open(os.path.join(root, "tools/tidy_allow.txt"), "w") as f:
        f.write("\n".join(head + ["%s %d" % kv for kv in sorted(kept.items())]) + "\n")


def main(args):
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    if args and args[0] == "--ratchet":
        ratchet(root)
        return 0
    tree, _, _ = run(args[0] if args else root)
    for finding in tree.findings:
        print(finding)
    print("tidy: %d files, %d findings" % (len(tree.files), len(tree.findings)))
    return 1 if tree.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
