-- errands: takes errands that are due. Each comes again later, unless it is struck out when it was run.
-- ARGV: how many, when they come again in ms
-- Returns them, the oldest first
local due = redis.call('ZRANGEBYSCORE', P .. 'errands', '-inf', NOW, 'LIMIT', 0, ARGV[1])
for _, errand in ipairs(due) do redis.call('ZADD', P .. 'errands', 'XX', NOW + tonumber(ARGV[2]), errand) end
return due
