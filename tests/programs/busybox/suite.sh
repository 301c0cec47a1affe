# Debian's static busybox over a tree of files in a directory of the host: find, tar, sed -i, what moves and copies, and scripts of ash.

needs busybox-static
program=$(realpath "$(command -v busybox)")

mkdir -p files/src/deep/deeper files/empty files/data
for i in $(seq 1 60); do
	printf 'line %s\nvalue=%s\n\n' "$i" $((i * i)) >"files/src/deep/file-$i.txt"
done
seq 1 20000 >files/data/numbers
printf 'not the last line\nthe last line, without an end' >files/data/unfinished
printf 'a name with spaces' >'files/data/a name with spaces'
printf 'umlaut' >'files/data/ümläut'
ln -s deep/file-1.txt files/src/link
ln -s nowhere files/src/dangling
ln -s ../data files/src/directory
ln files/src/deep/file-2.txt files/data/hard
printf '#!/bin/sh\necho run\n' >files/src/script
chmod 750 files/src/script
chmod 600 files/data/unfinished
# A day for each file, by its size; the directories last, whose times their entries' changes set.
find files -depth -printf '%s\t%p\n' | while IFS=$'\t' read -r size path; do
	touch -h -d "2020-01-01 04:05:06 UTC + $((size % 300)) days" "$path"
done
mkdir -p archives/into
"$program" tar cf archives/archive.tar -C files .
head -c 5000 archives/archive.tar >archives/cut.tar

same_tree files /dev/null find "$tree"
same_tree files /dev/null find "$tree" -type f -name '*-1*.txt' -size -2
same_tree files /dev/null find "$tree" -type l -print0
same_tree files /dev/null find "$tree/src" -follow -newer "$tree/data/hard" -print
same_tree files /dev/null find "$tree" -perm -100 -type f
same_tree files /dev/null find "$tree" -links +1 -type f
same_tree files /dev/null find "$tree/absent"

same_tree files /dev/null ls -lAnR "$tree"
same_tree files /dev/null ls -1S "$tree/absent" "$tree/data"
same_tree files /dev/null du -a "$tree/src/link"
same_tree files /dev/null stat -c '%n %s %a %F %h %u %g %Y' "$tree/data/hard" "$tree/src" "$tree/src/link"
same_tree files /dev/null readlink -f "$tree/src/directory/hard"
same_tree files /dev/null realpath "$tree/src/directory/../data"
same_tree files /dev/null wc "$tree/data/numbers" "$tree/data/ümläut" "$tree/absent"
same_tree files /dev/null grep -rn 'value=1.*4$' "$tree/src"
same_tree files /dev/null grep -c 9 "$tree/data/numbers" "$tree/data"
same_tree files /dev/null md5sum "$tree/data/numbers" "$tree/data/a name with spaces"
same_tree files /dev/null diff -r "$tree/src" "$tree/data"
same_tree files /dev/null cmp "$tree/data/numbers" "$tree/data/unfinished"

same_tree files /dev/null tar cf - -C "$tree" .
same_tree files /dev/null tar cf "$tree/made.tar" -C "$tree" src data
same_tree archives /dev/null tar tvf "$tree/archive.tar"
same_tree archives /dev/null tar tf "$tree/archive.tar" ./data
same_tree archives /dev/null tar xf "$tree/archive.tar" -C "$tree/into"
same_tree archives /dev/null tar xvf "$tree/archive.tar" -C "$tree/into" ./src/deep ./src/link
same_tree archives archives/archive.tar tar xf - -C "$tree/into" -O ./data/numbers
same_tree archives /dev/null tar xf "$tree/archive.tar" -C "$tree/absent"
same_tree archives /dev/null tar tf "$tree/cut.tar"
same_tree archives archives/archive.tar cpio -t

same_tree files /dev/null sed -i 's/value=\([0-9]*\)/\1 is the value/; /^$/d' "$tree/src/deep/file-7.txt" "$tree/src/deep/file-8.txt"
same_tree files /dev/null sed -i.bak '2,$d' "$tree/data/unfinished"
same_tree files /dev/null sed -i '$!N;s/\n/ /' "$tree/data/numbers"
same_tree files /dev/null sed -i s/a/b/ "$tree/data/absent"
same_tree files /dev/null sed -n "w $tree/written" "$tree/data/unfinished"
same_tree files /dev/null cp -a "$tree/src" "$tree/copy"
same_tree files /dev/null cp -rL "$tree/data" "$tree/copy"
same_tree files /dev/null cp "$tree/data/numbers" "$tree/data/hard" "$tree/empty"
same_tree files /dev/null cp "$tree/src" "$tree/empty"
same_tree files /dev/null mv "$tree/src" "$tree/data/moved"
same_tree files /dev/null mv "$tree/data/numbers" "$tree/data/hard" "$tree/empty"
same_tree files /dev/null mv "$tree/data" "$tree/data/below"
same_tree files /dev/null rm -r "$tree/src" "$tree/data/hard"
same_tree files /dev/null rm "$tree/src"
same_tree files /dev/null rmdir "$tree/empty" "$tree/data"
same_tree files /dev/null mkdir -p -m 711 "$tree/new/er/est" "$tree/data"
same_tree files /dev/null mkdir "$tree/data" "$tree/no/such"
same_tree files /dev/null ln "$tree/data/numbers" "$tree/linked"
same_tree files /dev/null ln -s target "$tree/symbolic"
same_tree files /dev/null ln -sf elsewhere "$tree/src/link"
same_tree files /dev/null ln "$tree/absent" "$tree/linked"
same_tree files /dev/null touch -d '2001-02-03 04:05:06' "$tree/data/hard" "$tree/touched"
same_tree files /dev/null touch -c -r "$tree/src/deep/file-9.txt" "$tree/data/numbers" "$tree/absent"
same_tree files /dev/null chmod -R go-rwx,u+x "$tree/data"
same_tree files /dev/null chmod 751 "$tree/data/hard"
same_tree files /dev/null truncate -s 1000 "$tree/data/numbers" "$tree/data/unfinished"
same_tree files /dev/null dd "if=$tree/data/numbers" "of=$tree/data/hard" bs=1000 count=3 skip=2 seek=5 conv=notrunc
same_tree files /dev/null split -b 10000 "$tree/data/numbers" "$tree/part-"
same_tree files /dev/null sort -r -o "$tree/data/numbers" "$tree/data/numbers"
same_tree files files/data/numbers tee -a "$tree/data/unfinished" "$tree/tee"
same_tree files /dev/null gzip "$tree/data/numbers" "$tree/src/link"
same_tree files /dev/null install -d "$tree/installed/here"
same_tree files /dev/null unlink "$tree/src/link"
same_tree files /dev/null sync
same_tree files /dev/null test -x "$tree/src/script"
same_tree files /dev/null test -e "$tree/src/dangling"
same_tree files /dev/null cat "$tree/data/numbers/below"
same_tree files /dev/null cat "$tree/data"

mkdir scripts
cp -a files/. scripts
# The shell reads a byte at a time.
seq 1 1500 >scripts/data/numbers
cp "$sources"/*.ash scripts
for script in builtins walk; do
	same_tree scripts "$sources/$script.ash" sh "$tree/$script.ash" "$tree" two three
done
same_tree scripts /dev/null sh "$tree/absent.ash"
same_tree scripts "$sources/walk.ash" sh -s "$tree"

# Not the same outside, on purpose: such a file would run as its owner.
rm -rf "$tree"
cp -a files "$tree"
expect 'a guest may ask for set-user-ID bits' 0 "$ampoule" run --dir "$tree:/tree:rw" "$program" chmod 7751 /tree/data/hard
report 'and no file of the host gets them' "$([[ $(stat -c %a "$tree/data/hard") == 751 ]] || stat -c ' it has %a' "$tree/data/hard")"
