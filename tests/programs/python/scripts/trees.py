"""pathlib, tempfile, shutil, os, glob, filecmp, fcntl: a tree of files made, changed and taken apart."""
import errno, fcntl, filecmp, fileinput, glob, io, os, pathlib, shutil, stat, sys, tempfile

here = pathlib.Path(sys.argv[1])
here.mkdir()
def listing(root):
    return [(str(path.relative_to(root)), oct(path.lstat().st_mode), path.lstat().st_size if path.is_file() else None) for path in sorted(root.rglob("*"))]

source = here / "source"
(source / "deep" / "deeper").mkdir(parents=True)
for n in range(20):
    (source / ("deep" if n % 2 else "deep/deeper") / f"file-{n:02}.txt").write_text(f"line {n}\n" * n, encoding="utf-8")
(source / "ünïcode €").write_bytes(bytes(range(256)))
(source / "link").symlink_to("deep/file-01.txt")
(source / "dangling").symlink_to("nowhere")
os.link(source / "deep/file-03.txt", source / "hard")
(source / "hard").chmod(0o640)
print(*listing(source), sep="\n")
print((source / "link").read_text(), (source / "link").resolve().relative_to(here), os.readlink(source / "dangling"), (source / "dangling").exists(), (source / "hard").samefile(source / "deep/file-03.txt"), (source / "hard").stat().st_nlink)

os.utime(source / "hard", (1000000000, 1234567890.5))
print((source / "hard").stat().st_mtime, (source / "hard").stat().st_atime_ns)
shutil.copytree(source, here / "copy", symlinks=True)
print(listing(here / "copy") == listing(source), (here / "copy/hard").stat().st_mtime)
print(filecmp.dircmp(source, here / "copy").left_only, filecmp.cmp(source / "hard", here / "copy/hard", shallow=False))
(here / "copy/hard").unlink()
(here / "copy/deep").rename(here / "moved")
os.replace(here / "copy/link", here / "moved/link")
shutil.move(here / "moved", here / "copy" / "moved again")
print(*listing(here / "copy"), sep="\n")
print(sorted(os.path.basename(name) for name in glob.glob(str(source / "**" / "*-1[0-9].txt"), recursive=True)), sorted(entry.name for entry in os.scandir(source) if entry.is_symlink()))
print([(root[len(str(source)) :], sorted(dirs), len(files)) for root, dirs, files in sorted(os.walk(source))])

failures = [
    lambda: (here / "absent").read_text(), lambda: (source / "dangling").read_text(), lambda: source.read_bytes(), lambda: source.rmdir(), lambda: source.mkdir(),
    lambda: (source / "hard" / "below").stat(), lambda: open(source / "hard", "x"), lambda: os.rename(source, source / "deep" / "itself"), lambda: os.link(source, here / "hard directory"),
    lambda: os.symlink("x", source / "link"), lambda: os.listdir(source / "hard"), lambda: os.unlink(source), lambda: os.open(source / "link", os.O_NOFOLLOW), lambda: (here / ("n" * 256)).touch(),
    lambda: os.truncate(source / "deep", 0), lambda: os.readlink(source / "hard"), lambda: open(source / "deep", "w"), lambda: os.chdir(source / "hard"), lambda: os.fdopen(99),
]
for failure in failures:
    try:
        print("no error:", failure())
    except OSError as error:
        print(errno.errorcode[error.errno], str(error).replace(str(here), "HERE"))

loop = here / "loop"
loop.symlink_to(loop)
try:
    loop.stat()
except OSError as error:
    print(errno.errorcode[error.errno])
loop.unlink()

with tempfile.TemporaryDirectory(dir=here, prefix="temporary-") as directory:
    with tempfile.NamedTemporaryFile("w+", dir=directory, suffix=".txt") as named, tempfile.TemporaryFile("w+b", dir=directory) as unnamed, tempfile.SpooledTemporaryFile(max_size=10, dir=directory) as spooled:
        named.write("named")
        named.flush()
        unnamed.write(b"unnamed")
        unnamed.seek(2)
        spooled.write(b"more than ten bytes")
        spooled.seek(-5, io.SEEK_END)
        print(os.path.getsize(named.name), unnamed.read(), spooled.read(), stat.filemode(os.stat(named.name).st_mode))
    print(os.listdir(directory))
print(os.path.exists(directory), tempfile.gettempdir())

descriptor = os.open(here / "positions", os.O_RDWR | os.O_CREAT, 0o600)
print(os.pwrite(descriptor, b"hello", 10), os.pread(descriptor, 100, 8), os.lseek(descriptor, 0, os.SEEK_END), os.ftruncate(descriptor, 12), os.write(descriptor, b"!"), os.fstat(descriptor).st_size)
print(os.writev(descriptor, [b"a", b"bc"]), os.lseek(descriptor, -6, os.SEEK_END), os.read(descriptor, 100), os.fsync(descriptor), os.get_inheritable(descriptor))
copy = os.dup(descriptor)
os.lseek(copy, 0, os.SEEK_SET)
print(os.read(descriptor, 3), fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE, os.isatty(descriptor))
fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.lockf(descriptor, fcntl.LOCK_UN)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.close(descriptor)
os.close(copy)
with open(here / "positions", "r+b", buffering=0) as raw, open(here / "text", "w", newline="\r\n", encoding="utf-16") as text:
    raw.seek(5)
    raw.truncate()
    text.write("één\ntwee\n")
print((here / "positions").read_bytes(), (here / "text").read_bytes())
with fileinput.input(source / "deep/file-03.txt", inplace=True) as lines:
    for line in lines:
        print(line.upper(), end="")
print((source / "deep/file-03.txt").read_text(), (source / "hard").read_text() == (source / "deep/file-03.txt").read_text())

read, write = os.pipe()
print(os.write(write, b"through a pipe"), os.read(read, 7), os.close(write), os.read(read, 100), os.read(read, 100))
os.close(read)
os.chdir(source)
print(os.getcwd() == str(source), sorted(os.listdir())[:3], pathlib.Path("deep/../hard").resolve() == source / "hard")
os.umask(0o077)
pathlib.Path("private").mkdir()
pathlib.Path("private/file").touch()
print(stat.filemode(os.stat("private").st_mode), stat.filemode(os.stat("private/file").st_mode), os.access("private", os.W_OK), os.access("absent", os.F_OK))
shutil.rmtree(source / "deep")
print(sorted(os.listdir(here)))
