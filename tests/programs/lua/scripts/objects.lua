-- Metatables: classes with inheritance, operators, proxies.

local Vector = {}
Vector.__index = Vector
Vector.__name = "Vector"
local function vector(x, y)
	return setmetatable({ x = x, y = y }, Vector)
end
function Vector.__add(a, b)
	return vector(a.x + b.x, a.y + b.y)
end
function Vector.__mul(a, b)
	if type(a) == "number" then
		return vector(a * b.x, a * b.y)
	elseif type(b) == "number" then
		return b * a
	end
	return a.x * b.x + a.y * b.y
end
function Vector.__unm(a)
	return vector(-a.x, -a.y)
end
function Vector.__eq(a, b)
	return a.x == b.x and a.y == b.y
end
function Vector.__lt(a, b)
	return a:length() < b:length()
end
function Vector.__le(a, b)
	return not (b < a)
end
function Vector.__len()
	return 2
end
function Vector.__concat(a, b)
	return tostring(a) .. tostring(b)
end
function Vector.__call(self, name)
	return self[name]
end
function Vector.__tostring(self)
	return string.format("(%g, %g)", self.x, self.y)
end
function Vector.__idiv(a, n)
	return vector(a.x // n, a.y // n)
end
function Vector.__band(a, b)
	return vector(a.x & b.x, a.y & b.y)
end
function Vector:length()
	return math.sqrt(self * self)
end
local a, b = vector(3, 4), vector(5, 12)
print(a + b, 2 * a, a * 2, a * b, -a, #a, a .. b, a("y"), b // 2, a & b)
print(a == vector(3, 4), a ~= b, a < b, a <= b, a > b, a:length(), b:length())
print(select(2, pcall(function()
	return a - b
end)):match("attempt.*"))

local Shape = { kind = "shape" }
Shape.__index = Shape
function Shape.new(class, fields)
	return setmetatable(fields, class)
end
function Shape:describe()
	return self.kind .. " of area " .. string.format("%.2f", self:area())
end
local function class(name, parent)
	local made = setmetatable({ kind = name }, { __index = parent })
	made.__index = made
	return made
end
local Circle, Square = class("circle", Shape), class("square", Shape)
function Circle:area()
	return math.pi * self.radius ^ 2
end
function Square:area()
	return self.side * self.side
end
local Filled = class("filled square", Square)
function Filled:describe()
	return Square.describe(self) .. ", filled " .. self.colour
end
for _, shape in ipairs({
	Circle:new({ radius = 2 }),
	Square:new({ side = 3 }),
	Filled:new({ side = 4, colour = "red" }),
}) do
	print(shape:describe())
end

-- A proxy that records what is asked of a table.
local seen = {}
local proxy = setmetatable({}, {
	__index = function(_, key)
		seen[#seen + 1] = "get " .. key
		return key .. "!"
	end,
	__newindex = function(self, key, value)
		seen[#seen + 1] = "set " .. key
		rawset(self, key, value)
	end,
	__pairs = function()
		local n = 0
		return function()
			n = n + 1
			if n <= 3 then
				return n, n * n
			end
		end
	end,
	__metatable = "locked",
})
proxy.a = proxy.b
print(proxy.a, rawget(proxy, "b"), table.concat(seen, ", "), getmetatable(proxy))
print(pcall(setmetatable, proxy, {}))
for key, value in pairs(proxy) do
	io.write(key, "=", value, " ")
end
print()
local memo = setmetatable({ [0] = 0, 1 }, {
	__index = function(self, n)
		local value = self[n - 1] + self[n - 2]
		self[n] = value
		return value
	end,
})
print(memo[90])
