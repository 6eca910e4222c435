-- announce_take: gives what is due to be announced, to whoever delivers it; nobody else gets it for a while.
-- ARGV: how long nobody else gets them in ms, most of them
-- Returns {id, what it is as JSON, …}
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'announcements', '-inf', NOW, 'LIMIT', 0, tonumber(ARGV[2]))) do
  local what = redis.call('HGET', P .. 'announced', id)
  if what then
    redis.call('ZADD', P .. 'announcements', text(NOW + tonumber(ARGV[1])), id)
    answer[#answer + 1] = id
    answer[#answer + 1] = what
  else
    redis.call('ZREM', P .. 'announcements', id)
  end
end
return answer
