-- What a callback costs the database.

-- No plan used it: what is due is looked for by endpoint.
DROP INDEX deliveries_due_time;

-- Each row is updated twice soon after its insert. With room for another version in its own page the claim touches no
-- index at all; at 60 a fifth of the claims went to another page, with an entry in each index.
ALTER TABLE deliveries SET (fillfactor = 45);
