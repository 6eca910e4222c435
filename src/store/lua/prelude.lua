-- What all scripts share. It stands before each of them, so that a rule is written once.
--
-- KEYS[1] is a partition's prefix, `rb:{<environment>.<partition>}:`. A script touches only keys under it, so
-- only one slot; their names stand in keys.rs. Times are milliseconds by Redis' own clock. Epochs have sixteen
-- digits, more than Lua writes out by itself: they are formatted here and passed through as text everywhere.

local P = KEYS[1]
local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- How many accounts one admission looks at: bounds a script's time when many accounts have nothing to admit.
local ADMIT_LOOKS_MAX = 256
-- Lines kept of a run's log.
local LOG_LINES_MAX = 200

local function text(number) return string.format('%.0f', number) end
local function run_key(id) return P .. 'run:' .. id end

local function fresh_epoch(old)
  local micros = clock[1] * 1000000 + clock[2]
  local next = tonumber(old or '0') + 1
  if next > micros then return text(next) end
  return text(micros)
end

-- Appends one line (a JSON object) to a run's log, with the time before it.
local function log(id, line)
  if line == '' then return end
  local key = P .. 'log:' .. id
  redis.call('RPUSH', key, '{"at":' .. text(NOW) .. ',' .. string.sub(line, 2))
  redis.call('LTRIM', key, -LOG_LINES_MAX, -1)
end

-- A place is where a run is: backlog, ready, leased, parked, waiting or ended. These functions put it there;
-- leave() takes it away from wherever it is.

local function ring(account)
  if redis.call('ZSCORE', P .. 'asleep', account) then return end
  if redis.call('ZSCORE', P .. 'ring', account) then return end
  redis.call('ZADD', P .. 'ring', redis.call('INCR', P .. 'turn'), account)
end

-- Runs that have begun come before those that have not, each kind in the order in which it was made: what is under way
-- is finished, and frees what it holds, whatever waits behind it.
local function to_backlog(id)
  local run = redis.call('HMGET', run_key(id), 'account', 'created', 'rev')
  -- A run that is gone gets no place: it would be a hash that nobody can execute.
  if not run[1] then return end
  redis.call('HSET', run_key(id), 'place', 'backlog')
  redis.call('ZADD', P .. 'backlog:' .. run[1], run[3] == '0' and run[2] or 0, id)
  ring(run[1])
end

local function to_ready(id)
  local entry = redis.call('XADD', P .. 'ready', '*', 'run', id)
  redis.call('HSET', run_key(id), 'place', 'ready', 'entry', entry)
end

-- A run may need a key (`key`): a mutex of a name of its own, which runs of any account share. Who holds it, and the line
-- of those who wait, live in the slot of the name (lock_*.lua); the run's own partition knows whether the run has it
-- (`ticket`). What must be said in that other slot is noted here as an errand by the very script that causes it, and
-- whoever tends runs it: so nothing is forgotten, whoever dies.

-- what: 'ask' for the key, or 'free' it and leave its line. The attempt tells a run's turns apart.
local function errand(what, id, key)
  local run = redis.call('HMGET', run_key(id), 'attempt', 'created')
  redis.call('ZADD', P .. 'errands', NOW, what .. ' ' .. id .. ' ' .. run[1] .. ' ' .. run[2] .. ' ' .. key)
end

local function wait_for_key(id, key)
  redis.call('HSET', run_key(id), 'place', 'waiting', 'waits', 'key')
  redis.call('ZADD', P .. 'keyed', NOW, id)
  errand('ask', id, key)
end

-- In the slot of a key: gives it to the first of its line, who holds it as `turn ticket created`; nobody holds it when
-- there is no line. Returns {turn, ticket, created} or {}.
local function pass_lock(key)
  local first = redis.call('ZRANGE', P .. 'line:' .. key, 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('HDEL', P .. 'locks', key)
    return {}
  end
  local ticket = fresh_epoch()
  redis.call('ZREM', P .. 'line:' .. key, first[1])
  redis.call('HSET', P .. 'locks', key, first[1] .. ' ' .. ticket .. ' ' .. first[2])
  return {first[1], ticket, first[2]}
end

local function leave(id)
  local run = redis.call('HMGET', run_key(id), 'place', 'account', 'entry', 'mutex')
  local place = run[1]
  if place == 'backlog' then
    redis.call('ZREM', P .. 'backlog:' .. run[2], id)
    if redis.call('EXISTS', P .. 'backlog:' .. run[2]) == 0 then
      redis.call('ZREM', P .. 'ring', run[2])
      redis.call('ZREM', P .. 'asleep', run[2])
    end
  elseif place == 'ready' then
    redis.call('XACK', P .. 'ready', 'workers', run[3])
    redis.call('XDEL', P .. 'ready', run[3])
  elseif place == 'leased' then redis.call('ZREM', P .. 'leases', id)
  elseif place == 'parked' then redis.call('ZREM', P .. 'parked', id)
  elseif place == 'waiting' then
    redis.call('ZREM', P .. 'waiting:' .. (run[4] or ''), id)
    redis.call('ZREM', P .. 'keyed', id)
    redis.call('HDEL', run_key(id), 'waits')
  end
end

-- How many may pass a gate that has opened, and until when no more than these: one at first, the probe, so that a limit that
-- is not over is met by one alone. Its step lasts until it has an answer (pass_gate), but not for ever: it may have died, or
-- ask nothing. Then twice as many in each step. Nothing when the gate limits nobody any more: the steps are over, or nobody
-- came for a while.
local PROBE_MAX, RAMP_STEP, RAMP_MAX, RAMP_IDLE_MAX = 10000, 1000, 64, 60000
local function may_pass(gate)
  local ramp = redis.call('HMGET', gate, 'ramp', 'left', 'till')
  if not ramp[1] then return nil end
  local width, till = tonumber(ramp[1]), tonumber(ramp[3] or '0')
  if NOW < till then return tonumber(ramp[2]), till end
  if width > RAMP_MAX or width > 1 and NOW > till + RAMP_IDLE_MAX then
    redis.call('HDEL', gate, 'ramp', 'left', 'till')
    return nil
  end
  till = NOW + (width == 1 and PROBE_MAX or RAMP_STEP)
  redis.call('HSET', gate, 'ramp', width * 2, 'left', width, 'till', text(till))
  return width, till
end

-- Moves runs from the accounts' backlogs into the ready stream, one account after the other, until the stream
-- holds `depth`. An account whose gate is closed sleeps; a run whose mutex is held waits for it. A run that needs a key
-- waits for that with its mutex in hand: keys come after mutexes, always, so no two wait for each other.
local function admit(depth)
  local room = depth - redis.call('XLEN', P .. 'ready')
  local looks, admitted = 0, 0
  while room > 0 and looks < ADMIT_LOOKS_MAX do
    looks = looks + 1
    local account = redis.call('ZRANGE', P .. 'ring', 0, 0)[1]
    if not account then break end
    local backlog = P .. 'backlog:' .. account
    local gate = P .. 'gate:' .. account
    local opens = tonumber(redis.call('HGET', gate, 'opens') or '0')
    local id = redis.call('ZRANGE', backlog, 0, 0)[1]
    local left
    if id and opens > 0 and opens <= NOW then
      local till
      left, till = may_pass(gate)
      if left == 0 then opens = till end
    end
    if not id then
      redis.call('ZREM', P .. 'ring', account)
    elseif opens > NOW then
      redis.call('ZREM', P .. 'ring', account)
      redis.call('ZADD', P .. 'asleep', opens, account)
    else
      redis.call('ZREM', backlog, id)
      local run = redis.call('HMGET', run_key(id), 'mutex', 'created', 'key', 'ticket')
      local mutex, key = run[1] or '', run[3] or ''
      local holder = mutex ~= '' and redis.call('HGET', P .. 'mutexes', mutex)
      if holder and holder ~= id then
        redis.call('HSET', run_key(id), 'place', 'waiting')
        redis.call('ZADD', P .. 'waiting:' .. mutex, run[2] or NOW, id)
      else
        if mutex ~= '' then redis.call('HSET', P .. 'mutexes', mutex, id) end
        if key ~= '' and not run[4] then
          wait_for_key(id, key)
        else
          to_ready(id)
          if left then redis.call('HINCRBY', gate, 'left', -1) end
          room = room - 1
          admitted = admitted + 1
        end
      end
      if redis.call('ZCARD', backlog) == 0 then redis.call('ZREM', P .. 'ring', account)
      else redis.call('ZADD', P .. 'ring', redis.call('INCR', P .. 'turn'), account) end
    end
  end
  return admitted
end

-- How many runs wait before this one could: those of its account's backlog, and of the lines it may come to stand in.
local function crowd(account, mutex, key)
  return redis.call('ZCARD', P .. 'backlog:' .. account) + (mutex ~= '' and redis.call('ZCARD', P .. 'waiting:' .. mutex) or 0)
    + (key ~= '' and redis.call('ZCARD', P .. 'keyed') or 0)
end

-- Makes a run. `series` names the runs that share a watermark; `key` is '' or the key it needs; `wake` is '' or the time
-- before which it must not start.
local function create(id, account, series, mutex, key, trigger, created, wake, request)
  redis.call('HSET', run_key(id), 'request', request, 'account', account, 'series', series, 'mutex', mutex,
    'trigger', trigger, 'created', created, 'updated', NOW, 'status', 'created', 'rev', '0', 'attempt', '1', 'crashes', '0',
    'epoch', '0')
  if key ~= '' then redis.call('HSET', run_key(id), 'key', key) end
  redis.call('ZADD', P .. 'runs', created, id)
  redis.call('SADD', P .. 'live', id)
  if trigger ~= '' then redis.call('SADD', P .. 'trigger-runs:' .. trigger, id) end
  log(id, '{"what":"created"}')
  if wake ~= '' and tonumber(wake) > NOW then
    redis.call('HSET', run_key(id), 'place', 'parked', 'wake', wake)
    redis.call('ZADD', P .. 'parked', wake, id)
  else
    to_backlog(id)
  end
end

-- Ends a run: it leaves its place, its mutex, its key and its trigger's set of runs.
local function conclude(id, status)
  leave(id)
  local run = redis.call('HMGET', run_key(id), 'mutex', 'trigger', 'key')
  redis.call('HSET', run_key(id), 'place', 'ended', 'status', status, 'finished', NOW, 'updated', NOW)
  redis.call('HDEL', run_key(id), 'wake', 'worker', 'stop')
  redis.call('SREM', P .. 'live', id)
  redis.call('ZADD', P .. 'ended', NOW, id)
  local mutex = run[1] or ''
  if mutex ~= '' and redis.call('HGET', P .. 'mutexes', mutex) == id then
    redis.call('HDEL', P .. 'mutexes', mutex)
    local heir = redis.call('ZRANGE', P .. 'waiting:' .. mutex, 0, 0)[1]
    if heir then
      redis.call('ZREM', P .. 'waiting:' .. mutex, heir)
      to_backlog(heir)
    end
  end
  local key = run[3] or ''
  if key ~= '' then
    if redis.call('HGET', P .. 'holds', key) == id then redis.call('HDEL', P .. 'holds', key) end
    redis.call('HDEL', run_key(id), 'ticket', 'held')
    errand('free', id, key)
  end
  if (run[2] or '') ~= '' then redis.call('SREM', P .. 'trigger-runs:' .. run[2], id) end
end

-- Notes how many bytes a run keeps staged. The partition's total moves by the difference, so it can't drift.
local function staged(id, bytes)
  local before = tonumber(redis.call('ZSCORE', P .. 'stages', id) or '0')
  if bytes == before then return end
  if bytes > 0 then redis.call('ZADD', P .. 'stages', bytes, id) else redis.call('ZREM', P .. 'stages', id) end
  redis.call('INCRBY', P .. 'staged', bytes - before)
end

local function unstage(id)
  staged(id, 0)
  return redis.call('DEL', P .. 'stage:' .. id)
end

-- What jobs remember of records: sets of an account, each a hash id → digest and an order of the ids. `sets` says which
-- there are and when each was used last; `floors`, below which order a set's records are forgotten though they are not
-- all removed yet.

-- Records that one call removes because of trims.
local TRIM_MAX = 5000
-- Arguments of one command: far fewer than Lua can unpack.
local CHUNK = 1000

-- Calls command with key and the values from..to, in parts that hold whole groups of `width`.
local function in_chunks(command, key, values, width)
  local step = CHUNK - CHUNK % width
  for i = 1, #values, step do
    redis.call(command, key, unpack(values, i, math.min(i + step - 1, #values)))
  end
end

local function forget(account, set, ids)
  in_chunks('HDEL', P .. 'seen:' .. account .. ':' .. set, ids, 1)
  in_chunks('ZREM', P .. 'order:' .. account .. ':' .. set, ids, 1)
end

-- Forgets what comes before `from` in a set. At most `most` records are removed now: of the others the floor says that
-- they are forgotten, and the next write to the set goes on. Returns how many may still be removed.
local function trim(account, set, from, most)
  local floors = P .. 'floors:' .. account
  local floor = redis.call('HGET', floors, set)
  if floor and (from == '' or tonumber(floor) > tonumber(from)) then from = floor end
  if from == '' then return most end
  local ids = redis.call('ZRANGEBYSCORE', P .. 'order:' .. account .. ':' .. set, '-inf', '(' .. from, 'LIMIT', 0, most)
  forget(account, set, ids)
  if #ids < most then redis.call('HDEL', floors, set) else redis.call('HSET', floors, set, from) end
  return most - #ids
end

-- Writes marks. ARGV, from `at` on: `count` × one of
--   's', set, n, n × (id, digest, order)   records were seen
--   'g', set, n, n × id                    records are forgotten
--   't', set, order                        what comes before it is forgotten
--   'w', set, value (JSON)                 up to where a list was read
local function mark(account, at, count)
  local used, most = {}, TRIM_MAX
  for _ = 1, count do
    local what, set, n = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    used[set] = true
    at = at + 3
    if what == 's' then
      local digests, orders = {}, {}
      for i = 1, 2 * tonumber(n), 2 do
        digests[i], digests[i + 1] = ARGV[at], ARGV[at + 1]
        orders[i], orders[i + 1] = ARGV[at + 2], ARGV[at]
        at = at + 3
      end
      in_chunks('HSET', P .. 'seen:' .. account .. ':' .. set, digests, 2)
      in_chunks('ZADD', P .. 'order:' .. account .. ':' .. set, orders, 2)
    elseif what == 'g' then
      local ids = {}
      for i = 1, tonumber(n) do ids[i] = ARGV[at + i - 1] end
      forget(account, set, ids)
      at = at + n
    elseif what == 't' then most = trim(account, set, n, most)
    else redis.call('HSET', P .. 'read-to:' .. account, set, n)
    end
  end
  for set in pairs(used) do
    redis.call('ZADD', P .. 'sets:' .. account, NOW, set)
    if most > 0 then most = trim(account, set, '', most) end
  end
end

-- The write that every transition of a leased run begins with. ARGV, from `at` on:
--   run, epoch, owner, rev, status, decided ('1' or '0'), checkpoint, log lines parted by newlines, bytes staged after it,
--   n, n × (stage name, bytes), m, m × stage name to drop, marks, what mark() takes
-- Returns 'ok', 'done' when this very write happened before (its answer was lost), or 'lost'.
-- When Redis is behind its owner (it lost saves, as a replica may have that became the primary), the owner can't go on
-- and lets go: the run returns to its backlog at once, to go on from the checkpoint there is.
local function write(at)
  local id, epoch, owner, rev = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local run = redis.call('HMGET', run_key(id), 'place', 'epoch', 'owner', 'rev', 'settled')
  if run[2] ~= epoch or run[3] ~= owner then return 'lost' end
  if run[5] == epoch .. ':' .. rev then return 'done' end
  if run[1] ~= 'leased' then return 'lost' end
  if run[4] == rev then return 'done' end
  if tonumber(run[4]) + 1 < tonumber(rev) then
    leave(id)
    to_backlog(id)
    redis.call('HDEL', run_key(id), 'worker')
    log(id, '{"what":"rewound","note":"Redis lost saves up to number ' .. tonumber(rev) - 1 .. ', goes on from ' .. run[4] .. '"}')
  end
  if tonumber(run[4]) + 1 ~= tonumber(rev) then return 'lost' end
  redis.call('HSET', run_key(id), 'rev', rev, 'status', ARGV[at + 4], 'decided', ARGV[at + 5],
    'checkpoint', ARGV[at + 6], 'crashes', '0', 'updated', NOW)
  for line in string.gmatch(ARGV[at + 7], '[^\n]+') do log(id, line) end
  staged(id, tonumber(ARGV[at + 8]))
  local stage = P .. 'stage:' .. id
  local puts = tonumber(ARGV[at + 9])
  local here = at + 10
  for _ = 1, puts do
    redis.call('HSET', stage, ARGV[here], ARGV[here + 1])
    here = here + 2
  end
  local drops = tonumber(ARGV[here])
  for i = 1, drops do redis.call('HDEL', stage, ARGV[here + i]) end
  here = here + drops + 1
  local marks = tonumber(ARGV[here])
  if marks > 0 then mark(redis.call('HGET', run_key(id), 'account'), here + 1, marks) end
  return 'ok'
end

-- Marks a write that took the run from its owner, so that its repetition is recognised.
local function settled(at)
  redis.call('HSET', run_key(ARGV[at]), 'settled', ARGV[at + 1] .. ':' .. ARGV[at + 3])
  redis.call('HDEL', run_key(ARGV[at]), 'worker')
end

-- Something that webhooks are told outside any run. Beyond so many the oldest are not pushed out: the new one is not told.
local ANNOUNCEMENTS_MAX = 1000
local function announce(id, what)
  if redis.call('ZCARD', P .. 'announcements') >= ANNOUNCEMENTS_MAX then return end
  redis.call('HSET', P .. 'announced', id, what)
  redis.call('ZADD', P .. 'announcements', NOW, id)
end

-- What an owner learns with each answer: a stop request, and its account's gate.
local function notice(id)
  local run = redis.call('HMGET', run_key(id), 'stop', 'account')
  local gate = redis.call('HMGET', P .. 'gate:' .. (run[2] or ''), 'generation', 'opens')
  return run[1] or '', gate[1] or '0', gate[2] or '0'
end
