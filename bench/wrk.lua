-- What wrk asks for, and what it tells at the end: one line of JSON.
-- Arguments NAME=VALUE, after the URL and --:
--   target=TEXT   the request's target, in place of the URL's path
--   close=1       a new connection for each request
--   heads=FILE    heads as browsers send them (heads.lua), ten kinds in turn
--   from=N to=N   targets with ?n=N, N+1, ... and again; one thread only

function init(args)
   local given = {}
   for _, argument in ipairs(args) do
      local name, value = argument:match("^(%w+)=(.*)$")
      given[name] = value
   end
   if given.target then wrk.path = given.target end
   if given.close then wrk.headers["Connection"] = "close" end
   if given.heads then
      local head = dofile(given.heads)
      request = function() return head(wrk.path, wrk.headers["Host"]) end
   elseif given.from then
      local first, last = tonumber(given.from), tonumber(given.to)
      local n, path = first - 1, wrk.path
      request = function()
         n = n < last and n + 1 or first
         return wrk.format(nil, path .. "?n=" .. n)
      end
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"answers":%d,"seconds":%f,"bytes":%d,"p50":%f,"p99":%f,"worst":%f,' ..
      '"errors":{"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency.max / 1e6,
      errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
