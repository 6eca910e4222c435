-- announce_end: what became of an announcement: it is over, or it comes again.
-- ARGV: id, what it is now as JSON or '' when it is over, in how many ms it comes again
if ARGV[2] == '' then
  redis.call('ZREM', P .. 'announcements', ARGV[1])
  redis.call('HDEL', P .. 'announced', ARGV[1])
elseif redis.call('HEXISTS', P .. 'announced', ARGV[1]) == 1 then
  redis.call('HSET', P .. 'announced', ARGV[1], ARGV[2])
  redis.call('ZADD', P .. 'announcements', text(NOW + tonumber(ARGV[3])), ARGV[1])
end
return 1
