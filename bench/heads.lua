-- Heads of 12 to 20 fields as browsers send them, ten kinds in turn. What differs between two
-- requests of a person differs here: the query, the cookies' values, the request's id. So no two
-- heads are the same bytes. Returns a function of path and host.

local CHROME = [["Chromium";v="126", "Google Chrome";v="126", "Not-A.Brand";v="8"]]
local EDGE = [["Not/A)Brand";v="8", "Chromium";v="126", "Microsoft Edge";v="126"]]
local WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
local MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
local IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
local ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
local FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"
local PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
local IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"

-- Each: fields after Host, in the browser's order; @C cookies, @I an id, @N the running number.
local KINDS = {
   { -- Chrome opens a page
      "Connection: keep-alive", "Cache-Control: max-age=0", "sec-ch-ua: " .. CHROME,
      "sec-ch-ua-mobile: ?0", 'sec-ch-ua-platform: "Windows"', "Upgrade-Insecure-Requests: 1",
      "User-Agent: " .. WINDOWS .. "Chrome/126.0.0.0 Safari/537.36", "Accept: " .. PAGE,
      "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1",
      "Sec-Fetch-Dest: document", "Referer: https://shop.example/search?q=lamp&page=@N",
      "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-GB,en;q=0.9,sv;q=0.8",
      "Cookie: @C",
   },
   { -- Chrome's script fetches JSON
      "Connection: keep-alive", "sec-ch-ua: " .. CHROME, "Accept: application/json, text/plain, */*",
      "X-Request-Id: @I", "sec-ch-ua-mobile: ?0", "X-Requested-With: XMLHttpRequest",
      "User-Agent: " .. WINDOWS .. "Chrome/126.0.0.0 Safari/537.36",
      'sec-ch-ua-platform: "Windows"', "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors",
      "Sec-Fetch-Dest: empty", "Referer: https://shop.example/basket/@N",
      "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: de-DE,de;q=0.9,en;q=0.8",
      "Cookie: @C", "DNT: 1", "X-CSRF-Token: @I",
   },
   { -- Chrome loads a picture
      "Connection: keep-alive", "sec-ch-ua: " .. CHROME, "sec-ch-ua-mobile: ?0",
      "User-Agent: " .. MAC .. "Chrome/126.0.0.0 Safari/537.36", 'sec-ch-ua-platform: "macOS"',
      "Accept: " .. IMAGE, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors",
      "Sec-Fetch-Dest: image", "Referer: https://shop.example/item/@N",
      "Accept-Encoding: gzip, deflate, br", "Accept-Language: fr-FR,fr;q=0.9", "Cookie: @C",
   },
   { -- Firefox opens a page
      "User-Agent: " .. FIREFOX, "Accept: " .. PAGE, "Accept-Language: en-US,en;q=0.5",
      "Accept-Encoding: gzip, deflate, br, zstd", "DNT: 1", "Connection: keep-alive",
      "Referer: https://news.example/@N", "Cookie: @C", "Upgrade-Insecure-Requests: 1",
      "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: cross-site",
      "Priority: u=1",
   },
   { -- Firefox's script fetches JSON
      "User-Agent: " .. FIREFOX, "Accept: application/json", "Accept-Language: sv-SE,sv;q=0.8,en;q=0.5",
      "Accept-Encoding: gzip, deflate, br, zstd", "Referer: https://app.example/board/@N",
      "X-Request-Id: @I", "Authorization: Bearer @I.@I", "Origin: https://app.example",
      "DNT: 1", "Sec-GPC: 1", "Connection: keep-alive", "Cookie: @C", "Sec-Fetch-Dest: empty",
      "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin", "Priority: u=4",
   },
   { -- Safari opens a page
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Cookie: @C",
      "Sec-Fetch-Site: none", "Connection: keep-alive", "Sec-Fetch-Mode: navigate",
      "User-Agent: " .. MAC .. "Version/17.5 Safari/605.1.15", "Accept-Language: en-GB,en;q=0.9",
      "Sec-Fetch-Dest: document", "Accept-Encoding: gzip, deflate, br", "Priority: u=0, i",
      "Referer: https://shop.example/?from=@N",
   },
   { -- Safari on a telephone loads a picture
      "Accept: image/webp,image/avif,image/jxl,image/heic,video/*;q=0.8,image/png,*/*;q=0.5",
      "Sec-Fetch-Site: same-origin", "Cookie: @C", "Sec-Fetch-Dest: image",
      "Accept-Language: ja", "Sec-Fetch-Mode: no-cors",
      "User-Agent: " .. IPHONE .. "Version/17.5 Mobile/15E148 Safari/604.1",
      "Referer: https://shop.example/item/@N", "Accept-Encoding: gzip, deflate, br",
      "Connection: keep-alive", "Priority: u=5, i",
   },
   { -- Edge opens a page, behind a company's proxy
      "Connection: keep-alive", "sec-ch-ua: " .. EDGE, "sec-ch-ua-mobile: ?0",
      'sec-ch-ua-platform: "Windows"', "DNT: 1", "Upgrade-Insecure-Requests: 1",
      "User-Agent: " .. WINDOWS .. "Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Accept: " .. PAGE,
      "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1",
      "Sec-Fetch-Dest: document", "Referer: https://search.example/?q=@I",
      "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en,en-US;q=0.9", "Cookie: @C",
      "X-Forwarded-For: 192.0.2.7", "Via: 1.1 gateway.example", "X-Request-Id: @I",
   },
   { -- Chrome on Android loads a script
      "Connection: keep-alive", 'sec-ch-ua-platform: "Android"',
      "User-Agent: " .. ANDROID .. "Chrome/126.0.0.0 Mobile Safari/537.36",
      "sec-ch-ua: " .. CHROME, "sec-ch-ua-mobile: ?1", "Accept: */*", "Sec-Fetch-Site: same-origin",
      "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: script", "Referer: https://m.shop.example/@N",
      "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: pt-BR,pt;q=0.9", "Cookie: @C",
      "Origin: https://m.shop.example",
   },
   { -- a traced call from another service
      "User-Agent: okhttp/4.12.0", "Accept: application/json", "Accept-Encoding: gzip",
      "Authorization: Bearer @I.@I.@I", "Connection: keep-alive", "X-Request-Id: @I",
      "traceparent: 00-@I-00f067aa0ba902b7-01", "tracestate: vendor=@N", "X-B3-TraceId: @I",
      "X-B3-Sampled: 1", "X-Client-Version: 8.14.2", "X-Device: pixel-7",
      "Cookie: @C",
   },
}

local pieces = {}
for i, fields in ipairs(KINDS) do
   -- Cut at each @X once, so that a request is one concatenation.
   local text = table.concat(fields, "\r\n") .. "\r\n\r\n"
   local parts, holes = {}, {}
   local at = 1
   while true do
      local from, to, hole = text:find("@([CIN])", at)
      if not from then break end
      parts[#parts + 1] = text:sub(at, from - 1)
      parts[#parts + 1] = ""
      holes[#holes + 1] = { #parts, hole }
      at = to + 1
   end
   parts[#parts + 1] = text:sub(at)
   pieces[i] = { parts, holes }
end

math.randomseed(os.time())
local n = math.random(0, 1e6) * 1000

return function(path, host)
   n = n + 1
   local piece = pieces[n % #pieces + 1]
   local parts = piece[1]
   local id = string.format("%08x%08x%016x", n, math.random(0, 0x7fffffff), n * 7919)
   for _, hole in ipairs(piece[2]) do
      local kind = hole[2]
      parts[hole[1]] = kind == "I" and id or kind == "N" and tostring(n)
         or "sid=" .. id .. "; theme=dark; _ga=GA1.2." .. n .. "." .. n + 17 .. "; seen=" .. n % 97
   end
   return "GET " .. path .. "?item=" .. n .. "&ref=" .. n % 1013 .. " HTTP/1.1\r\nHost: " .. host
      .. "\r\n" .. table.concat(parts)
end
