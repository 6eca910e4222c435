-- forget_contents: forgets contents that nobody pinned or applied since; who looked which are unused may be too late.
-- KEYS[1] is the definitions' prefix.
-- ARGV: time, address, …
-- Returns how many are gone
local gone = 0
for i = 2, #ARGV do
  local pinned = redis.call('ZSCORE', P .. 'contents', ARGV[i])
  if pinned and tonumber(pinned) <= tonumber(ARGV[1]) then
    redis.call('ZREM', P .. 'contents', ARGV[i])
    redis.call('DEL', P .. 'content:' .. ARGV[i])
    gone = gone + 1
  end
end
return gone
