-- Every change of a job: state, event and result together or not at all.
--
-- KEYS[1] prefix; ARGV: command, events kept, seconds a finished record is kept, then the command's arguments.
-- Every command bears being sent twice (a client whose connection breaks does not know whether it ran).
--
-- {prefix}:job:{id}             hash, the record
-- {prefix}:job:{id}:events      stream; ids are 1-0, 2-0, ... so that a reader can tell a gap
-- {prefix}:job:{id}:followers   list of jobs of identical work that wait for this one
-- {prefix}:job:{id}:children    set of jobs that this one asked for
-- {prefix}:jobs:{project}       sorted set of ids by creation time
-- {prefix}:dead:{project}       sorted set of dead-lettered ids
-- {prefix}:live                 sorted set of unfinished ids by the time the reaper looks at them
-- {prefix}:request:{project}:{request id}   hash: id, hash of the request
-- {prefix}:cache:{project}:{key}            hash: result, artifacts
-- {prefix}:inflight:{project}:{key}         id of the job that computes it now

local P = KEYS[1]
local command, events_kept, kept_s = ARGV[1], ARGV[2], ARGV[3]
local A = {}
for i = 4, #ARGV do A[i - 3] = ARGV[i] end

-- Ids of jobs whose message the caller sends.
local to_send = {}

local function int(n) return string.format('%.0f', n) end
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local NOW = now_ms()
local GRACE_MS = 5000

local function key(id) return P .. ':job:' .. id end
local function get(id, field) return redis.call('HGET', key(id), field) or '' end
local function set(id, ...) redis.call('HSET', key(id), ...) end
local function live(id, at) redis.call('ZADD', P .. ':live', int(at), id) end
local function is_final(state) return state == 'SUCCEEDED' or state == 'FAILED' or state == 'CANCELLED' end

local function event(id, kind, message)
  local n = redis.call('HINCRBY', key(id), 'events', 1)
  redis.call('XADD', key(id) .. ':events', 'MAXLEN', '=', events_kept, int(n) .. '-0',
    'kind', kind, 'ms', int(NOW), 'state', get(id, 'state'),
    'fraction', get(id, 'fraction'), 'text', get(id, 'text'), 'message', message or '')
end

local function queue_up(id, message)
  set(id, 'state', 'QUEUED', 'owner', '', 'message_id', '')
  live(id, NOW + GRACE_MS)
  event(id, 'STATE', message)
  to_send[#to_send + 1] = id
end

local close

local function close_followers(id, state, result, err, deterministic)
  local list = key(id) .. ':followers'
  local followers = redis.call('LRANGE', list, 0, -1)
  redis.call('DEL', list)
  local first = nil
  for _, follower in ipairs(followers) do
    if get(follower, 'state') == 'QUEUED' and get(follower, 'leader') == id then
      if state == 'SUCCEEDED' then
        set(follower, 'cached', 1)
        close(follower, state, result, '', '', deterministic)
      elseif state == 'FAILED' and deterministic == '1' then
        close(follower, state, '', err, '', deterministic)
      elseif first == nil then
        first = follower
        set(follower, 'leader', '')
        redis.call('SET', P .. ':inflight:' .. get(id, 'project') .. ':' .. get(id, 'cache_key'), first)
        queue_up(follower, 'the identical job that was waited for ended without a result')
      else
        set(follower, 'leader', first)
        redis.call('RPUSH', key(first) .. ':followers', follower)
      end
    end
  end
end

local function close_children(id)
  local set_of = key(id) .. ':children'
  local err = cjson.encode({code = 'CANCELLED', reason = 'PARENT_ENDED', subject = 'job', value = id, allowed = '',
    message = 'the job that asked for this one has ended'})
  for _, child in ipairs(redis.call('SMEMBERS', set_of)) do
    local state = redis.call('HGET', key(child), 'state')
    if state and not is_final(state) then close(child, 'CANCELLED', '', err, '', '0') end
  end
  redis.call('DEL', set_of)
end

-- Ends a job, whatever its state was; the callers have checked that it had not ended.
close = function(id, state, result, err, artifacts, deterministic)
  local project, cache_key = get(id, 'project'), get(id, 'cache_key')
  set(id, 'state', state, 'end_ms', int(NOW))
  if err ~= '' then set(id, 'error', err) end
  if state == 'SUCCEEDED' then set(id, 'result', result, 'fraction', '1') end
  redis.call('ZREM', P .. ':live', id)
  event(id, 'STATE', '')
  redis.call('EXPIRE', key(id), kept_s)
  redis.call('EXPIRE', key(id) .. ':events', kept_s)
  if cache_key ~= '' and get(id, 'leader') == '' then
    local inflight = P .. ':inflight:' .. project .. ':' .. cache_key
    if redis.call('GET', inflight) == id then redis.call('DEL', inflight) end
    if state == 'SUCCEEDED' then
      local cache = P .. ':cache:' .. project .. ':' .. cache_key
      redis.call('HSET', cache, 'result', result, 'artifacts', artifacts)
      redis.call('EXPIRE', cache, kept_s)
    end
  end
  close_followers(id, state, result, err, deterministic)
  close_children(id)
end

local function bury(id)
  local err = cjson.encode({code = 'ABORTED', reason = 'DEAD_LETTER', subject = 'job', value = get(id, 'attempts'),
    allowed = '', message = 'the process that ran the job died ' .. get(id, 'crashes') ..
    ' times without progress: the job was put aside'})
  set(id, 'dead', 1)
  local dead = P .. ':dead:' .. get(id, 'project')
  redis.call('ZADD', dead, int(NOW), id)
  redis.call('ZREMRANGEBYSCORE', dead, 0, int(NOW - kept_s * 1000))
  close(id, 'FAILED', '', err, '', '0')
end

-- Puts a job whose worker is gone back into its queue, or aside.
local function take_back(id, max_attempts, message)
  if tonumber(get(id, 'crashes')) >= tonumber(max_attempts) then
    bury(id)
    return 'dead'
  end
  queue_up(id, message)
  return 'queued'
end

local function owned(id, owner)
  return get(id, 'state') == 'RUNNING' and get(id, 'owner') == owner
end

-- Whether a numbered report is new; reports are numbered so that one sent twice counts once.
local function is_new(id, seq)
  if tonumber(seq) <= tonumber(get(id, 'seq')) then return false end
  set(id, 'seq', seq)
  return true
end

local commands = {}

-- id, project, request id, request hash, cache key, ignore cache, parent, field, value, ...
commands.submit = function()
  local id, project, request, hash, cache_key, ignore_cache, parent = unpack(A, 1, 7)
  if redis.call('EXISTS', key(id)) == 1 then return {'new', id} end
  if request ~= '' then
    local rk = P .. ':request:' .. project .. ':' .. request
    local seen = redis.call('HMGET', rk, 'id', 'hash')
    if seen[1] and redis.call('EXISTS', key(seen[1])) == 1 then
      return {seen[2] == hash and 'same' or 'conflict', seen[1]}
    end
    redis.call('HSET', rk, 'id', id, 'hash', hash)
    redis.call('EXPIRE', rk, kept_s)
  end
  for i = 8, #A, 2 do set(id, A[i], A[i + 1]) end
  set(id, 'project', project, 'request_id', request, 'cache_key', cache_key, 'parent', parent, 'leader', '',
    'state', 'QUEUED', 'owner', '', 'message_id', '', 'create_ms', int(NOW), 'attempts', 0, 'crashes', 0, 'seq', 0)
  redis.call('ZADD', P .. ':jobs:' .. project, int(NOW), id)
  redis.call('ZREMRANGEBYSCORE', P .. ':jobs:' .. project, 0, int(NOW - kept_s * 1000))
  live(id, NOW + GRACE_MS)
  event(id, 'STATE', '')
  if parent ~= '' then
    local state = redis.call('HGET', key(parent), 'state')
    if state and not is_final(state) then redis.call('SADD', key(parent) .. ':children', id) end
    if state and is_final(state) then
      close(id, 'CANCELLED', '', cjson.encode({code = 'CANCELLED', reason = 'PARENT_ENDED', subject = 'job',
        value = parent, allowed = '', message = 'the job that asked for this one has ended'}), '', '0')
      return {'ended', id}
    end
  end
  if cache_key == '' then return {'new', id} end
  local inflight = P .. ':inflight:' .. project .. ':' .. cache_key
  if ignore_cache ~= '1' then
    local result = redis.call('HGET', P .. ':cache:' .. project .. ':' .. cache_key, 'result')
    if result then
      -- A leader that is never asked: the entry in the cache is older than this job and stays as it is.
      set(id, 'cached', 1, 'leader', 'cache')
      close(id, 'SUCCEEDED', result, '', '', '0')
      return {'ended', id}
    end
    local leader = redis.call('GET', inflight)
    local state = leader and redis.call('HGET', key(leader), 'state')
    if state and not is_final(state) then
      set(id, 'leader', leader)
      redis.call('RPUSH', key(leader) .. ':followers', id)
      return {'follows', id}
    end
  end
  redis.call('SET', inflight, id)
  return {'new', id}
end

-- id, message id: the message that carries the job.
commands.sent = function()
  if get(A[1], 'state') == 'QUEUED' then set(A[1], 'message_id', A[2]) end
  return 'ok'
end

-- id, owner, lease ms, most attempts
commands.claim = function()
  local id, owner, lease_ms, max_attempts = unpack(A)
  if owned(id, owner) then return 'claimed' end
  if get(id, 'state') ~= 'QUEUED' or get(id, 'leader') ~= '' then return 'not queued' end
  if tonumber(get(id, 'crashes')) >= tonumber(max_attempts) then
    bury(id)
    return 'dead'
  end
  redis.call('HINCRBY', key(id), 'attempts', 1)
  redis.call('HINCRBY', key(id), 'crashes', 1)
  set(id, 'state', 'RUNNING', 'owner', owner, 'seq', 0)
  if get(id, 'start_ms') == '' then set(id, 'start_ms', int(NOW)) end
  live(id, NOW + lease_ms)
  event(id, 'STATE', '')
  return 'claimed'
end

-- id, owner, lease ms
commands.heartbeat = function()
  if not owned(A[1], A[2]) then return 'lost' end
  live(A[1], NOW + A[3])
  return 'ok'
end

-- id, owner, number of the report, fraction, text
commands.progress = function()
  local id, owner, seq, fraction, text = unpack(A)
  if not owned(id, owner) then return 'lost' end
  if is_new(id, seq) then
    set(id, 'fraction', fraction, 'text', text)
    event(id, 'PROGRESS', '')
  end
  return 'ok'
end

-- id, owner, number of the report, message
commands.log = function()
  if not owned(A[1], A[2]) then return 'lost' end
  if is_new(A[1], A[3]) then event(A[1], 'LOG', A[4]) end
  return 'ok'
end

-- id, owner, result so far
commands.publish = function()
  if not owned(A[1], A[2]) then return 'lost' end
  set(A[1], 'partial', A[3])
  return 'ok'
end

-- id, owner: work that a next attempt need not do again was saved
commands.checkpoint = function()
  if not owned(A[1], A[2]) then return 'lost' end
  set(A[1], 'crashes', 1)
  return 'ok'
end

-- id, owner, state, result, error, artifacts of the result, whether identical work fails the same way
commands.finish = function()
  local id, owner, state, result, err, artifacts, deterministic = unpack(A)
  if is_final(get(id, 'state')) and get(id, 'owner') == owner then return 'finished' end
  if not owned(id, owner) then return 'lost' end
  close(id, state, result, err, artifacts, deterministic)
  return 'finished'
end

-- id, owner, refund (1: handed back unhurt, the attempt does not count), most attempts, message
commands.release = function()
  local id, owner, refund, max_attempts, message = unpack(A)
  if not owned(id, owner) then return 'lost' end
  if refund == '1' then
    redis.call('HINCRBY', key(id), 'attempts', -1)
    redis.call('HINCRBY', key(id), 'crashes', -1)
    queue_up(id, message)
    return 'queued'
  end
  return take_back(id, max_attempts, message)
end

-- id, error
commands.cancel = function()
  local id, err = unpack(A)
  local state = redis.call('HGET', key(id), 'state')
  if not state then return 'unknown' end
  if not is_final(state) then
    -- The owner is fenced out: its next heartbeat tells it to kill the work.
    set(id, 'owner', '')
    close(id, 'CANCELLED', '', err, '', '0')
  end
  return 'ok'
end

-- most attempts, prefix and suffix of the keys of messages by queue, most jobs looked at
commands.reap = function()
  local max_attempts, before, after, limit = unpack(A)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':live', 0, int(NOW), 'LIMIT', 0, limit)) do
    local state = redis.call('HGET', key(id), 'state')
    local leader = get(id, 'leader')
    if not state or is_final(state) then
      redis.call('ZREM', P .. ':live', id)
    elseif state == 'RUNNING' then
      take_back(id, max_attempts, 'the worker stopped answering')
    elseif leader ~= '' and not is_final(redis.call('HGET', key(leader), 'state') or 'FAILED') then
      live(id, NOW + GRACE_MS)
    else
      local message = get(id, 'message_id')
      live(id, NOW + GRACE_MS)
      if message == '' or redis.call('HEXISTS', before .. get(id, 'queue') .. after, message) == 0 then
        set(id, 'leader', '')
        to_send[#to_send + 1] = id
      end
    end
  end
  return 'ok'
end

-- project, cache key: the result refers to bytes that are gone
commands.forget = function()
  redis.call('DEL', P .. ':cache:' .. A[1] .. ':' .. A[2])
  return 'ok'
end

return {commands[command](), to_send}
