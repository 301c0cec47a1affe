# Lua 5.4, linked from Debian's static library, on scripts of our own.

needs gcc libc6-dev liblua5.4-dev
compiled lua -I/usr/include/lua5.4 -llua5.4 -lm
program=$built/lua
scripts=$sources/scripts

for script in values strings closures coroutines objects numbers exit; do
	same_tree "$scripts" /dev/null "$tree/$script.lua"
done
same_tree "$scripts" "$scripts/strings.lua" "$tree/input.lua"
same_tree "$scripts" /dev/null "$tree/files.lua" "$tree"
same_tree "$scripts" /dev/null "$tree/fails.lua" one two
same_tree "$scripts" /dev/null "$tree/absent.lua"
same /dev/null
