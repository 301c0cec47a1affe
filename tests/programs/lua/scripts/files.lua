-- io and os over files in the directory that is the first argument.

local here = arg[1] .. "/"

local out = assert(io.open(here .. "numbers", "w"))
print(io.type(out), out:setvbuf("full", 1000))
for i = 1, 20000 do
	out:write(i, " ", i * i, "\n")
end
print(out:seek("cur"), out:seek("set", 10), out:write("!") == out, out:seek("end"))
out:close()
print(io.type(out), pcall(out.write, out, "closed"))

local sum, lines = 0, 0
for a, b in io.lines(here .. "numbers", "n", "n") do
	if not b then
		break
	end
	sum, lines = sum + b, lines + 1
end
print(sum, lines)
local input = assert(io.open(here .. "numbers"))
print(input:read("l", 3, "L", "n", 0))
print(#input:read("a"), input:read("a"), input:read("l"), input:read(0))
input:close()
for line in io.lines(here .. "numbers", "L") do
	io.write(line)
	if line:match("^5 ") then
		break
	end
end

local both = assert(io.open(here .. "both", "w+b"))
both:write("one\0two\r\nthree")
both:seek("set", 4)
print(string.format("%q", both:read("a")))
both:close()
local more = assert(io.open(here .. "both", "a"))
more:write("\nappended")
more:close()
local update = assert(io.open(here .. "both", "r+"))
update:write("ONE")
update:seek("end", -8)
print(update:read("a"))
update:close()

print(os.rename(here .. "both", here .. "renamed"), io.open(here .. "both"))
print(os.remove(here .. "numbers"), os.remove(here .. "numbers"))
print(os.rename(here .. "absent", here .. "other"))
print(io.open(here .. "no/such/directory", "w"))
print(pcall(io.open, here, "nonsense"))
print(io.open(here, "w"))
print(pcall(io.lines, here .. "absent"))

local temporary = os.tmpname()
local file = assert(io.open(temporary, "w"))
print(temporary:match("^/tmp/lua_") ~= nil, file:write("x") == file, file:close(), os.remove(temporary))
local unnamed = io.tmpfile()
unnamed:write("kept nowhere")
unnamed:seek("set")
print(unnamed:read("a"), unnamed:close())

package.path = here .. "?.lua"
local module = require("module")
print(module.name, module.twice(21), package.loaded.module == module, (select(2, require("module"))) ~= nil)
print((select(2, pcall(require, "absent")):gsub("\n.*", "")))
print(loadfile(here .. "absent.lua"))
print(dofile(here .. "module.lua").name)
io.output(here .. "through-output")
io.write("default output\n")
io.close()
io.output(io.stdout)
io.stderr:write("to stderr\n")
