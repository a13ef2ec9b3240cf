-- What a call perhaps cost is known now.
-- KEYS: money, expiries, reservations, doubts.  ARGV: role, call, cost (1e-9 USD).
-- Returns 1, or 0 if there was no doubt about that call.
if not undoubt(ARGV[1], ARGV[2]) then
  return 0
end
book('spent', ARGV[1], tonumber(ARGV[3]))
return 1
