-- group: makes the ready stream and its group, unless they are there. Redis would refuse the plain command while its
-- memory is full, even when there is nothing to make; and a worker that starts then must be able to finish what others left.
-- ARGV: none
-- Returns 'ok'
local made = redis.pcall('XGROUP', 'CREATE', P .. 'ready', 'workers', '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
return 'ok'
