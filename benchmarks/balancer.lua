-- What wrk says at its end, as JSON: the kinds of errors that there were, the median latency in microseconds.
function done(summary, latency, requests)
    local errors = {}
    for kind, count in pairs(summary.errors) do
        if count > 0 then
            table.insert(errors, string.format('"%s": %d', kind, count))
        end
    end
    io.stderr:write(string.format(
        '{"requests": %d, "seconds": %.6f, "errors": {%s}, "p50": %d}\n',
        summary.requests, summary.duration / 1e6, table.concat(errors, ", "), latency:percentile(50)
    ))
end
