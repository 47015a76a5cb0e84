"""The update of the aggregates: one script, which the server runs at once, for any number of records.

Beside what Aka Stats keeps there is a key of ours for each label, ``SUMS``: how many values there were, the first of
them, and the sums of the differences from it and of their squares. Each sum is a pair of doubles, of which the second
has what was rounded off the first, so that it holds some 32 digits. The first value is one of the series, so the
squares never cancel by more than a factor of the count: the deviation is right to the last digits of a double, and of
equal values it is 0. Squares of very small and of very large differences are kept as those of 2^600 and of 2^-600 times
the difference.

Where COUNT and TOTAL are not as ``SUMS`` has them, somebody else has written: the values that are missing are taken
from HISTORY if they are all there and come to that total, else the sums are made anew from COUNT, TOTAL and TOTAL_SQ.
"""

from __future__ import annotations

import hashlib

# Keys: INDEX, a key for each context, then the keys of each label in the order of statspout.client.redis.keys.KINDS.
# Arguments: entries of a history, seconds to live, number of contexts; these; then of each label its name, the number
# of its values, the values, and as many entries of its history. All is read before anything is written: what is of a
# wrong type is an error then, and nothing has changed.
SOURCE = """
local history, ttl, contexts = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local call, format, match, max, min = redis.call, string.format, string.match, math.max, math.min
local KINDS, SLICE, FAR, NEAR = 11, 1000, 2 ^ 400, 2 ^ -400
local REPLAY = 10000
local SUMS = '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$'

-- The shortest text that is read as this very double.
local function text(x)
  local short = format('%.15g', x)
  return tonumber(short) == x and short or format('%.17g', x)
end

-- Pairs of doubles: sums and products with what is rounded off them (Knuth; Dekker).
local function exact_sum(a, b)
  local s = a + b
  local t = s - a
  return s, (a - (s - t)) + (b - t)
end
local function exact_product(a, b)
  local p, t = a * b, 134217729 * a
  local a1 = t - (t - a)
  t = 134217729 * b
  local b1 = t - (t - b)
  local a2, b2 = a - a1, b - b1
  return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2
end
local function add(a, a2, b, b2)
  local s, e = exact_sum(a, b)
  local t, f = exact_sum(a2, b2)
  s, e = exact_sum(s, e + t)
  return exact_sum(s, e + f)
end
local function multiply(a, a2, b, b2)
  local p, e = exact_product(a, b)
  return exact_sum(p, e + (a * b2 + a2 * b))
end
local function divide(a, a2, n)
  local q = a / n
  local p, e = exact_product(q, n)
  local r, f = add(a, a2, -p, -e)
  return exact_sum(q, (r + f) / n)
end

-- What SUMS has, or nil.
local function known(packed)
  if not packed then return nil end
  local n, first, scale, d, d2, s, s2, low, high, total = match(packed, SUMS)
  if not n then return nil end
  return {n = tonumber(n), first = tonumber(first), scale = tonumber(scale), d = tonumber(d), d2 = tonumber(d2),
          s = tonumber(s), s2 = tonumber(s2), low = tonumber(low), high = tonumber(high), total = total}
end

-- The mean, the total, the standard deviation of the sample, and the sum of squares.
local function results(sums)
  local n, first, scale = sums.n, sums.first, sums.scale
  if sums.s == 0 then return first, first * n, 0, first * first * n end
  local part, part2 = exact_product(n, first * scale)
  local total = add(part, part2, sums.d, sums.d2)
  local mean, mean2 = divide(sums.d, sums.d2, n)
  mean = add(first * scale, 0, mean, mean2)
  local m, m2 = multiply(sums.d, sums.d2, sums.d, sums.d2)
  m, m2 = divide(m, m2, n)
  m = add(sums.s, sums.s2, -m, -m2)
  local q, q2 = multiply(part, part2, first * scale, 0)
  local c, c2 = multiply(sums.d, sums.d2, 2 * first * scale, 0)
  q, q2 = add(q, q2, c, c2)
  q = add(q, q2, sums.s, sums.s2)
  return mean / scale, total / scale, math.sqrt(max(m, 0) / (n - 1)) / scale, q / scale / scale
end

-- Add the texts of numbers from..to of a list.
local function take(sums, list, from, to)
  local values, low, high = {}, sums.low, sums.high
  for i = from, to do
    local x = tonumber(list[i])
    values[#values + 1] = x
    if not low or x < low then low = x end
    if not high or x > high then high = x end
  end
  if #values == 0 then return end
  local first = sums.first or values[1]
  local reach = max(high / 2 - first / 2, first / 2 - low / 2)
  local scale = sums.scale or 2 ^ 600
  local wanted = reach >= FAR and 2 ^ -600 or reach >= NEAR and 1 or scale
  if wanted < scale then
    local change = wanted / scale
    sums.d, sums.d2 = (sums.d or 0) * change, (sums.d2 or 0) * change
    sums.s, sums.s2 = (sums.s or 0) * change * change, (sums.s2 or 0) * change * change
    scale = wanted
  end
  sums.n, sums.first, sums.scale, sums.low, sums.high = (sums.n or 0) + #values, first, scale, low, high
  local d, d2, s, s2 = sums.d or 0, sums.d2 or 0, sums.s or 0, sums.s2 or 0
  if low < first or high > first then
    local zero = -first * scale
    for i = 1, #values do
      -- As above, written out: calls would take most of the time.
      local x = values[i] * scale
      local a = x + zero
      local t = a - x
      local a2 = (x - (a - t)) + (zero - t)
      if a ~= 0 then
        local sum = d + a
        t = sum - d
        local rest = (d - (sum - t)) + (a - t) + d2 + a2
        d = sum + rest
        d2 = rest - (d - sum)
        t = 134217729 * a
        local h = t - (t - a)
        local l = a - h
        local p = a * a
        local p2 = ((h * h - p) + 2 * h * l) + l * l + 2 * a * a2
        sum = s + p
        t = sum - s
        rest = (s - (sum - t)) + (p - t) + s2 + p2
        s = sum + rest
        s2 = rest - (s - sum)
      end
    end
  end
  sums.d, sums.d2, sums.s, sums.s2 = d, d2, s, s2
end

-- The sums as COUNT, TOTAL and TOTAL_SQ have them: as good as those are.
local function rebuilt(before, n, total, squares, low, high)
  local first = total / n
  local p, p2 = exact_product(n, first)
  local d, d2 = exact_sum(total - p, -p2)
  local q, q2 = exact_product(first, total)
  local s = add(squares, 0, -q, -q2)
  if not (s > d * d / n) then s = d * d / n end
  -- Others round what they keep; what we knew to be the least or the most still is, if it is that but for the rounding.
  if before then
    if format('%.14g', before.low) == format('%.14g', low) then low = before.low end
    if format('%.14g', before.high) == format('%.14g', high) then high = before.high end
  end
  return {n = n, first = first, scale = 1, d = d, d2 = d2, s = s, s2 = 0, low = low, high = high}
end

-- The sums with what others wrote last, as HISTORY has it; nil if it has not, or not what makes up their total.
local function replayed(sums, missing, key, total)
  if missing > REPLAY or call('LLEN', key) < missing then return nil end
  local entries, values, weight = call('LRANGE', key, 0, missing - 1), {}, 0
  for i = missing, 1, -1 do
    local x = tonumber(match(entries[i], '^[^;]*;([^;]*)') or '')
    if not x or x * 0 ~= 0 then return nil end
    values[#values + 1] = x
    weight = weight + math.abs(x)
  end
  if sums then weight = weight + math.abs(tonumber(sums.total)) end
  sums = sums or {}
  take(sums, values, 1, missing)
  local _, found = results(sums)
  if math.abs(found - total) > 1e-9 * weight + 1e-12 then return nil end
  return sums
end

-- What there is of a label, from its eleven keys.
local function found(at)
  local read = call('MGET', KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3], KEYS[at + 4], KEYS[at + 5])
  local n, total, sums = tonumber(read[1] or ''), tonumber(read[2] or ''), known(read[4])
  call('LLEN', KEYS[at + 6])
  if sums and n == sums.n and read[2] == sums.total then return sums end
  if not n or not total or n < 1 then return {} end
  if sums and n <= sums.n then sums = nil end
  local missing, before = n - (sums and sums.n or 0), sums and {low = sums.low, high = sums.high}
  local all = replayed(sums, missing, KEYS[at + 6], total) or replayed(nil, n, KEYS[at + 6], total)
  if all then return all end
  local squares, low, high = tonumber(read[3] or ''), tonumber(read[5] or ''), tonumber(read[6] or '')
  local mean = total / n
  return rebuilt(before, n, total, squares or total * mean, low or mean, high or mean)
end

local function in_slices(list, from, to, command, ...)
  for i = from, to, SLICE do
    local arguments = {...}
    for j = i, min(i + SLICE - 1, to) do arguments[#arguments + 1] = list[j] end
    call(command, unpack(arguments))
  end
end

call('ZCARD', KEYS[1])
local groups, key, at = {}, 2 + contexts, 4 + contexts
while KEYS[key] do
  local count = tonumber(ARGV[at + 1])
  local sums = found(key)
  take(sums, ARGV, at + 2, at + 1 + count)
  groups[#groups + 1] = {key = key, label = ARGV[at], count = count, values = at + 2, entries = at + 2 + count,
      sums = sums}
  key, at = key + KINDS, at + 2 + 2 * count
end

local labels, written = {}, 0
for i, group in ipairs(groups) do
  local at, sums, last = group.key, group.sums, group.entries + group.count - 1
  local mean, total, deviation, squares = results(sums)
  local n, total_text = format('%.0f', sums.n), text(total)
  call('SETEX', KEYS[at], ttl, n)
  call('SETEX', KEYS[at + 1], ttl, total_text)
  call('SETEX', KEYS[at + 2], ttl, text(squares))
  call('SETEX', KEYS[at + 3], ttl, format('%s %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %s', n, sums.first,
      sums.scale, sums.d, sums.d2, sums.s, sums.s2, sums.low, sums.high, total_text))
  call('SETEX', KEYS[at + 4], ttl, text(sums.low))
  call('SETEX', KEYS[at + 5], ttl, text(sums.high))
  if history > 0 then
    in_slices(ARGV, max(group.entries, last - history + 1), last, 'LPUSH', KEYS[at + 6])
    call('LTRIM', KEYS[at + 6], 0, history - 1)
    call('EXPIRE', KEYS[at + 6], ttl)
  else
    call('DEL', KEYS[at + 6])
  end
  call('SETEX', KEYS[at + 7], ttl, text(mean))
  call('SETEX', KEYS[at + 8], ttl, text(deviation))
  call('SETEX', KEYS[at + 9], ttl, ARGV[group.values + group.count - 1])
  call('SETEX', KEYS[at + 10], ttl, match(ARGV[last], '^[^;]*'))
  labels[2 * i - 1], labels[2 * i] = 1, group.label
  written = written + group.count
end
in_slices(labels, 1, #labels, 'ZADD', KEYS[1])
call('EXPIRE', KEYS[1], ttl)
for i = 1, contexts do
  if call('EXPIRE', KEYS[1 + i], ttl) == 0 then call('SETEX', KEYS[1 + i], ttl, ARGV[3 + i]) end
end
return written
"""
SHA = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()
"""The name by which the server knows the script, once it has seen it."""
