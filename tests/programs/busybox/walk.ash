# Walks a tree with globs and functions only, and writes an index of it.

root=${1:?a directory}
files=0 directories=0 links=0 lines=0
walk() {
	local entry
	for entry in "$1"/* "$1"/.[!.]*; do
		if [ -L "$entry" ]; then
			links=$((links + 1))
			echo "l ${entry#$root/}" >&3
		elif [ -d "$entry" ]; then
			directories=$((directories + 1))
			echo "d ${entry#$root/}" >&3
			walk "$entry"
		elif [ -f "$entry" ]; then
			files=$((files + 1))
			count=0
			while read -r line; do count=$((count + 1)); done <"$entry"
			lines=$((lines + count))
			echo "f ${entry#$root/} $count" >&3
		fi
	done
}
exec 3>"$root/index"
walk "$root"
exec 3>&-
echo "$files files, $directories directories, $links links, $lines lines"
while read -r kind name rest; do
	case $kind in
	l) echo "$name" ;;
	esac
done <"$root/index"
