-- list_cells: some cells of a namespace in the order of their names.
-- ARGV: namespace, the cell after which to begin or '', how many, bytes after which no more are taken
-- Returns {'1' when there are more, else '0', then for each: cell, what is kept of it}
local namespace, limit, room = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local names = redis.call('ZRANGEBYLEX', P .. 'cells:' .. namespace, from, '+', 'LIMIT', 0, limit + 1)
local answer, taken = {'0'}, 0
for _, name in ipairs(names) do
  if taken == limit or room <= 0 then
    answer[1] = '1'
    break
  end
  local cell = redis.call('HGET', P .. 'state:' .. namespace, name) or ''
  answer[#answer + 1] = name
  answer[#answer + 1] = cell
  taken, room = taken + 1, room - #cell
end
return answer
