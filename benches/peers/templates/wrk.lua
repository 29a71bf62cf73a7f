-- Prints the result as JSON. Arguments: bytes of the request's body, 0 for a GET; `close` for a connection per request;
-- over how many routes the requests go in turn, 0 for one.

function init(args)
    local bytes = tonumber(args[1] or "0")
    if bytes > 0 then
        wrk.method = "POST"
        wrk.body = string.rep("x", bytes)
        wrk.headers["Content-Type"] = "application/octet-stream"
    end
    if args[2] == "close" then
        wrk.headers["Connection"] = "close"
    end
    local routes = tonumber(args[3] or "0")
    if routes > 0 then
        local ready, turn = {}, 0
        for route = 0, routes - 1 do
            ready[route] = wrk.format(nil, "/r" .. route .. wrk.path)
        end
        request = function()
            turn = (turn + 1) % routes
            return ready[turn]
        end
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\n{"requests":%d,"seconds":%.6f,"p50":%.1f,"p99":%.1f,"p999":%.1f,"max":%.1f,"bad":%d,"lost":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        latency:percentile(99.9), latency.max, e.status, e.connect + e.read + e.write + e.timeout))
end
