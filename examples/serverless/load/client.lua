-- What wrk's clients send, and what they count: wrk -s client.lua URL -- BODY_FILE [STATUS ANSWER_FILE|-]
--
-- With a status every answer's status is compared, and its body with the file's unless that is `-`: this costs wrk some time, which it takes from
-- the server on a small machine. Without one wrk counts the statuses from 400 on, and nothing is compared.

local threads = {}

function setup(thread)
   threads[#threads + 1] = thread
end

local function read(path)
   local file = assert(io.open(path, "rb"))
   local bytes = file:read("*a")
   file:close()
   return bytes
end

function init(args)
   wrk.method = "POST"
   wrk.body = read(args[1])
   local text = wrk.format()
   request = function() return text end
   right, wrong, example = 0, 0, ""
   if not args[2] then return end

   local status = tonumber(args[2])
   local answer = args[3] ~= "-" and read(args[3]) or nil
   response = function(got, _, body)
      if got == status and (answer == nil or body == answer) then
         right = right + 1
      else
         wrong = wrong + 1
         if example == "" then example = got .. " " .. body:sub(1, 300) end
      end
   end
end

local function json(text)
   return '"' .. text:gsub('[%c"\\]', function(byte) return string.format("\\u%04x", byte:byte()) end) .. '"'
end

function done(summary, latency)
   local right, wrong, example = 0, 0, ""
   for _, thread in ipairs(threads) do
      right, wrong = right + thread:get("right"), wrong + thread:get("wrong")
      if example == "" then example = thread:get("example") end
   end
   local errors = summary.errors
   local lost = errors.connect + errors.read + errors.write + errors.timeout
   local seconds = summary.duration / 1e6
   print(string.format(
      '{"requests":%d,"seconds":%.3f,"rate":%.1f,"p50":%d,"p99":%d,"p999":%d,"max":%d,"lost":%d,"refused":%d,"right":%d,"wrong":%d,"example":%s}',
      summary.requests, seconds, summary.requests / seconds, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
      latency.max, lost, errors.status, right, wrong, json(example)))
end
