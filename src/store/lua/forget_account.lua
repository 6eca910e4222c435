-- forget_account: forgets what is kept of an account that was deleted, some of its sets of records at a time.
-- ARGV: account, most sets to forget
-- Returns 1 when there may be more, else 0
local account, most = ARGV[1], tonumber(ARGV[2])
local sets = redis.call('ZRANGE', P .. 'sets:' .. account, 0, most - 1)
for _, set in ipairs(sets) do
  redis.call('UNLINK', P .. 'seen:' .. account .. ':' .. set, P .. 'order:' .. account .. ':' .. set)
  redis.call('ZREM', P .. 'sets:' .. account, set)
end
if #sets == most then return 1 end
for _, kind in ipairs({'sets:', 'read-to:', 'floors:', 'watermarks:', 'token:'}) do redis.call('UNLINK', P .. kind .. account) end
return 0
