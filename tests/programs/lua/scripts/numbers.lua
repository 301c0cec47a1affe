-- Integers that wrap, floats that round, and where one becomes the other.

print(7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3, 7.5 // 2, -7.5 % 2, 7 / 2, 2 ^ 10, 3 | 4, 6 & 3, 5 ~ 1, ~0, 1 << 62, 1 << 64, -1 >> 60)
print(math.maxinteger + 1 == math.mininteger, math.mininteger // -1, math.maxinteger * 2.0, math.ult(1, -1))
print(1e15, 1e16, 2 ^ 53, 2 ^ 53 + 1, 0.1 + 0.2, 1 / 0, -1 / 0, 0 / 0 ~= 0 / 0, -0.0, 3.0, 1e100)
print(1 == 1.0, math.type(1), math.type(1.0), math.type("1"), "10" + 5, "0x10" + 0, "1e1" * 1, 10 .. 20)
print(tonumber("  12  "), tonumber("z", 36), tonumber("ff", 16), tonumber("8", 8), tonumber("1e"), tonumber("0x1p4"), tonumber("1_0"))
print(math.tointeger(3.0), math.tointeger(3.5), math.floor(-3.5), math.ceil(-3.5), math.fmod(-7, 3), math.modf(-3.7))
print(pcall(function()
	return 1 // 0
end))
print(pcall(function()
	return 1.5 | 1
end))
print(1 // 0.0, 1 % 0.0 ~= 1 % 0.0, math.abs(math.mininteger), math.max(1, 2.5, -3), math.min(3, 2))
for _, f in ipairs({ "sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "sqrt" }) do
	io.write(f, "(0.5)=", string.format("%.17g", math[f](0.5)), " ")
end
print()
print(math.log(8, 2), math.log(1000, 10), math.pi, math.huge, math.deg(1), math.rad(180))

math.randomseed(42)
local rolls = {}
for i = 1, 10 do
	rolls[i] = math.random(1, 6)
end
print(table.concat(rolls, " "), math.random(0) ~= math.random(0), string.format("%.12f", math.random()))

-- pi to three hundred digits, with integers only.
local digits, need = {}, 300
local size = need * 10 // 3 + 2
local spigot = {}
for i = 1, size do
	spigot[i] = 2
end
local nines, predigit = 0, 0
for _ = 1, need do
	local carry = 0
	for i = size, 1, -1 do
		local x = 10 * spigot[i] + carry * i
		spigot[i], carry = x % (2 * i - 1), x // (2 * i - 1)
	end
	spigot[1], carry = carry % 10, carry // 10
	if carry == 9 then
		nines = nines + 1
	elseif carry == 10 then
		digits[#digits + 1] = predigit + 1 .. ("0"):rep(nines)
		predigit, nines = 0, 0
	else
		digits[#digits + 1] = predigit .. ("9"):rep(nines)
		predigit, nines = carry, 0
	end
end
print(table.concat(digits))

-- Mandelbrot, in floats.
for y = -1.2, 1.2, 0.15 do
	local row = {}
	for x = -2, 0.6, 0.04 do
		local zr, zi, steps = 0.0, 0.0, 0
		while zr * zr + zi * zi < 4 and steps < 200 do
			zr, zi = zr * zr - zi * zi + x, 2 * zr * zi + y
			steps = steps + 1
		end
		row[#row + 1] = steps == 200 and "#" or steps > 8 and "+" or steps > 4 and "." or " "
	end
	print((table.concat(row):gsub("%s+$", "")))
end
print(os.time({ year = 2024, month = 2, day = 29, hour = 12 }), os.date("!%Y-%m-%d %H:%M:%S %a %j", 1709208000), os.date("!*t", 86400).wday)
print(os.difftime(100, 40), os.getenv("HOME"), os.getenv("PATH"), type(os.clock()))
