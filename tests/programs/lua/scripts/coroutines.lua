-- Coroutines as generators, as threads with a scheduler, and in error.

local function generate(n)
	return coroutine.wrap(function()
		for i = 1, n do
			coroutine.yield(i, i * i)
		end
		return "done"
	end)
end
for i, square in generate(5) do
	if i == "done" then
		break
	end
	io.write(i, "^2=", square, " ")
end
print()

local function permutations(list, n)
	n = n or #list
	if n <= 1 then
		coroutine.yield(list)
		return
	end
	for i = 1, n do
		list[n], list[i] = list[i], list[n]
		permutations(list, n - 1)
		list[n], list[i] = list[i], list[n]
	end
end
local count = 0
for list in coroutine.wrap(function()
	permutations({ "a", "b", "c", "d", "e", "f", "g" })
end) do
	count = count + 1
	if count % 1000 == 1 then
		print(count, table.concat(list))
	end
end

-- A scheduler: ten tasks of several lengths share a log.
local tasks, log = {}, {}
for id = 1, 10 do
	tasks[#tasks + 1] = coroutine.create(function(first)
		local total = first
		for step = 1, id do
			total = total + coroutine.yield(id .. "." .. step)
		end
		return "task " .. id .. " = " .. total
	end)
end
local round = 0
while #tasks > 0 do
	round = round + 1
	for i = #tasks, 1, -1 do
		local ok, result = coroutine.resume(tasks[i], round)
		log[#log + 1] = ok and result or "error: " .. tostring(result)
		if coroutine.status(tasks[i]) == "dead" then
			table.remove(tasks, i)
		end
	end
end
print(#log, table.concat(log, " ", 1, 12))
for _, line in ipairs(log) do
	if line:match("^task") then
		print(line)
	end
end

local failing = coroutine.create(function()
	local guard <close> = setmetatable({}, {
		__close = function()
			print("closed on the way out")
		end,
	})
	coroutine.yield(1)
	error({ code = 3 })
end)
print(coroutine.resume(failing))
local ok, failure = coroutine.resume(failing)
print(ok, failure.code, coroutine.status(failing), (coroutine.close(failing)))
print(coroutine.resume(failing))
print(coroutine.isyieldable(), select(2, coroutine.running()))
