-- Statements whose single values take long to compute, or much memory: a statement a line.
-- Numbers, matches and patterns.
SELECT length((9.9 ^ 99999)::text)
SELECT length(power(10::numeric, 100000)::text)
SELECT length(power(10::numeric, 131000)::text)
SELECT length(power(1.0000001::numeric, 2000000000)::text)
SELECT length(power(1.00000000000000000001::numeric, -2000000000)::text)
SELECT length(power(0.5::numeric, 2000000000)::text)
SELECT length(power(9.999::numeric, 99999.5)::text)
SELECT length(exp(100000::numeric)::text)
SELECT length(exp(300000::numeric)::text)
SELECT length(exp(-30000.5::numeric)::text)
SELECT length(ln(10::numeric ^ 131000)::text)
SELECT length(log(1e131000::numeric)::text)
SELECT length(log(1.0000000000000001::numeric, 1e131000::numeric)::text)
SELECT length(sqrt(1e131071::numeric)::text)
SELECT length(gcd(repeat('7',131000)::numeric, repeat('3',130999)::numeric)::text)
SELECT length(lcm(repeat('7',65000)::numeric, repeat('3',64999)::numeric)::text)
SELECT length((repeat('7',131000)::numeric * repeat('3',130999)::numeric)::text)
SELECT length((repeat('7',65000)::numeric * repeat('3',64999)::numeric)::text)
SELECT length((repeat('7',131000)::numeric / repeat('3',64999)::numeric)::text)
SELECT length((repeat('7',131000)::numeric % repeat('3',64999)::numeric)::text)
SELECT length(div(repeat('7',131000)::numeric, repeat('3',64999)::numeric)::text)
SELECT length(repeat('7',60000000)::numeric::text)
SELECT length(('0.' || repeat('7',60000000))::numeric::text)
SELECT length(('1e' || repeat('7',60000000))::numeric::text)
SELECT length(trim_scale(('1.' || repeat('0',16383))::numeric)::text)
SELECT length(trim_scale((repeat('7',131000) || '.' || repeat('0',16383))::numeric)::text)
SELECT width_bucket(repeat('7',131000)::numeric, 0, 1e131000::numeric, 2000000000)
SELECT count(*) FROM generate_series(1::numeric, 1e10::numeric)
SELECT count(*) FROM generate_series(1e131000::numeric, 1e131000::numeric + 1000000000)
SELECT length((SELECT sum(x) FROM (SELECT repeat('7',131000)::numeric x FROM generate_series(1,10000)) y)::text)
SELECT length((SELECT var_samp(x) FROM (SELECT (repeat('7',131000)||'.'||g)::numeric x FROM generate_series(1,300) g) y)::text)
SELECT length((SELECT stddev_samp(x) FROM (SELECT (repeat('7',65000)||'.'||g)::numeric x FROM generate_series(1,300) g) y)::text)
SELECT length(regexp_replace(repeat('a',20000000),'a','bb','g'))
SELECT length(regexp_replace(repeat('a',60000000),'a','b','g'))
SELECT length(regexp_replace(repeat('a',60000000),'(a|b)','\1','g'))
SELECT length(regexp_replace(repeat('a',20000000),'a','b',1,20000000))
SELECT count(*) FROM regexp_matches(repeat('a',20000000),'a','g')
SELECT count(*) FROM regexp_matches(repeat('a',1000000),'a','g')
SELECT array_length(regexp_split_to_array(repeat('a',20000000),'a'),1)
SELECT array_length(regexp_split_to_array(repeat('a',20000000),''),1)
SELECT count(*) FROM regexp_split_to_table(repeat('a',20000000),'a')
SELECT regexp_count(repeat('a',20000000),'a')
SELECT regexp_instr(repeat('a',20000000),'a',1,20000000)
SELECT length(regexp_substr(repeat('a',20000000),'a',1,20000000))
SELECT repeat('a',200000) ~ '((a{0,500}){0,2}){0,1}c'
SELECT repeat('a',200000) ~ ('((' || repeat('a?',1000) || '){1,2}){1,2}c')
SELECT substring(repeat('a',4000) SIMILAR 'a*#"a*c#"a*' ESCAPE '#')
SELECT repeat('a',300000) LIKE '%' || repeat('a',100000) || 'b%'
SELECT repeat('a',30000000) LIKE '%' || repeat('a',15000000) || 'b%'
SELECT repeat('a',30000000) ILIKE '%' || repeat('a',15000000) || 'b%'
SELECT repeat('a',300000) ~ ANY (ARRAY(SELECT '(a*)*' || g FROM generate_series(1,1000) g))
SELECT 'a' ~ repeat('a?', 3000000)
-- Texts and templates.
SELECT length(to_char(1, repeat('9',10000000)))
SELECT length(to_char(1::numeric, repeat('9',60000000)))
SELECT length(to_char(1.5::float8, repeat('9',10000000)))
SELECT length(to_char(1, repeat('x',300000)))
SELECT length(to_char(1, repeat('x',10000000)))
SELECT length(to_char(now(), repeat('x',300000)))
SELECT length(to_char(now(), '"' || repeat('x',20000000) || '"'))
SELECT length(to_char(interval '1 day', repeat('HH24',10000000)))
SELECT to_date(repeat('a',300000), repeat('x',300000))
SELECT to_date(repeat('a',10000000), repeat('x',10000000))
SELECT to_timestamp(repeat('2 ',10000000), repeat('Y ',10000000))
SELECT length(to_number(repeat('1',10000000), repeat('9',10000000))::text)
SELECT length(to_number(repeat('x',300000)||'1', repeat('x',300000)||'9')::text)
SELECT length(to_number('1', 'V' || repeat('9',10000000))::text)
SELECT length(format('%s%s', repeat('x',30000000), repeat('x',30000000)))
SELECT length(format(repeat('%1$s',10000000), repeat('x',6)))
SELECT length(format(repeat('%1$s',10000000), repeat('x',60)))
SELECT length(format(repeat('%1$I',1000000), repeat('"',60000)))
SELECT length(format(repeat('%1$60000000s',100), 'x'))
SELECT array_length(string_to_array(repeat('a,',10000000),','),1)
SELECT array_length(string_to_array(repeat('a',60000000),NULL),1)
SELECT array_length(string_to_array(repeat('a,',30000000),','),1)
SELECT count(*) FROM string_to_table(repeat('a,',10000000),',')
SELECT length(translate(repeat('a',3000000),repeat('b',3000000)||'a','c'))
SELECT length(overlay(repeat('a',30000000) placing repeat('b',30000000) from 15000000))
SELECT length(substr(repeat('a',60000000),1,59999999))
SELECT length(left(repeat('a',60000000),10))
SELECT length(right(repeat('a',60000000),10))
SELECT length(initcap(repeat('a ',30000000)))
SELECT length(quote_literal(repeat('''',30000000)))
SELECT length(quote_ident(repeat('"',30000000)))
SELECT length(btrim(repeat('a',30000000)::bytea, (repeat('b',30000000)||'a')::bytea))
SELECT position(repeat('a',30000)||'b' in repeat('a',30000000))
SELECT length(encode(decode(repeat('ff',16000000),'hex'),'escape'))
SELECT length(decode(repeat('ff',30000000),'hex'))
SELECT length(decode(repeat('QUJD',15000000),'base64'))
SELECT length(decode(repeat('a',60000000),'escape'))
SELECT length(convert_from(repeat('a',60000000)::bytea,'LATIN1'))
SELECT length(convert_to(repeat('a',60000000),'LATIN1'))
SELECT length(normalize(repeat('é',15000000), NFD))
SELECT length(normalize(repeat('ﷺ',15000000), NFKD))
SELECT length(repeat('a',60000000)::varchar(10))
SELECT length(((repeat('1',60000000))::varbit << 1)::text)
SELECT bit_count((repeat('1',60000000))::varbit)
SELECT length(concat(repeat('a',30000000),repeat('b',30000000)))
SELECT length(concat_ws(',',repeat('a',30000000),repeat('b',30000000)))
SELECT strpos(repeat('a',60000000), repeat('a',30000)||'b')
-- Json, arrays, ranges and casts.
SELECT length(('[' || repeat('1,',20000000) || '1]')::json::text)
SELECT length(('[' || repeat('1,',20000000) || '1]')::jsonb::text)
SELECT json_array_length(('[' || repeat('1,',20000000) || '1]')::json)
SELECT jsonb_array_length(('[' || repeat('1,',20000000) || '1]')::jsonb)
SELECT length(jsonb_pretty((repeat('[',3000) || repeat('1,',10000) || '1' || repeat(']',3000))::jsonb))
SELECT length(json_strip_nulls(('[' || repeat('1,',10000000) || '1]')::json)::text)
SELECT count(*) FROM json_array_elements(('[' || repeat('1,',10000000) || '1]')::json)
SELECT count(*) FROM jsonb_array_elements(('[' || repeat('1,',10000000) || '1]')::jsonb)
SELECT count(*) FROM jsonb_each(('{' || (SELECT string_agg('"k' || g || '":1', ',') FROM generate_series(1,300000) g) || '}')::jsonb)
SELECT length(json_build_array(repeat('"',30000000))::text)
SELECT length(row_to_json(x)::text) FROM (SELECT repeat('a',60000000) AS a) x
SELECT ARRAY(SELECT g FROM generate_series(1,300000) g) && ARRAY(SELECT -g FROM generate_series(1,300000) g)
SELECT ARRAY(SELECT g FROM generate_series(1,300000) g) @> ARRAY(SELECT g FROM generate_series(1,300000) g)
SELECT array_length(array_fill(1, ARRAY[2000,2000]),1)
SELECT length(int4multirange(VARIADIC ARRAY(SELECT int4range(g*2,g*2+1) FROM generate_series(1,1000000) g))::text)
SELECT length(range_agg(int4range(g*2,g*2+1))::text) FROM generate_series(1,1000000) g
SELECT length((range_agg(int4range(g*2,g*2+1)) * range_agg(int4range(g*2-1,g*2)))::text) FROM generate_series(1,1000000) g
SELECT length((range_agg(int4range(g*2,g*2+1)) - range_agg(int4range(g*2+1,g*2+2)))::text) FROM generate_series(1,300000) g
SELECT range_agg(int4range(g*2,g*2+1)) && range_agg(int4range(g*2+1,g*2+2)) FROM generate_series(1,300000) g
SELECT count(*) FROM (SELECT unnest(range_agg(int4range(g*2,g*2+1))) FROM generate_series(1,300000) g) x
SELECT length(('{' || repeat('[1,2),',5000000) || '[1,2)}')::int4multirange::text)
SELECT repeat('1',60000000)::float8
SELECT repeat('1',60000000)::date
SELECT (repeat('1 day ',10000000))::interval
SELECT repeat('1:',30000000)::time
SELECT repeat('a',60000000)::inet
SELECT repeat('a',60000000)::bytea = 'x'
SELECT repeat('a',60000000)::uuid
SELECT repeat('(',60000000)::int4range
SELECT repeat('x',60000000), repeat('y',60000000)
SELECT repeat('x',60000000)::bytea
SELECT ARRAY[repeat('x',30000000), repeat('y',30000000)]
SELECT upper(x) || lower(x) FROM (SELECT repeat('a',30000000) x FROM generate_series(1,20)) y
SELECT length(initcap(x)) FROM (SELECT repeat('a',3000000)||g x FROM generate_series(1,200) g) y
SELECT sum(length(initcap(repeat('a',60000)||g))) FROM generate_series(1,20000) g
-- Chains of functions of DuckDB's, of which a chunk's results lie side by side.
SELECT length(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(reverse(r))))))))))))))))))))))))))))))) FROM (SELECT repeat('x', 60000000) AS r FROM generate_series(1,1)) x
SELECT length(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(upper(lower(r))))))))))))))))))))))))))))))))))))))))) FROM (SELECT repeat('x', 60000000) AS r FROM generate_series(1,1)) x
-- Texts that are copied, or made, as often as a statement shows them.
SELECT x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x FROM (SELECT repeat('a',60000000) x FROM generate_series(1,1)) y
SELECT length(x||'0'), length(x||'1'), length(x||'2'), length(x||'3'), length(x||'4'), length(x||'5'), length(x||'6'), length(x||'7'), length(x||'8'), length(x||'9'), length(x||'10'), length(x||'11'), length(x||'12'), length(x||'13'), length(x||'14'), length(x||'15'), length(x||'16'), length(x||'17'), length(x||'18'), length(x||'19'), length(x||'20'), length(x||'21'), length(x||'22'), length(x||'23'), length(x||'24'), length(x||'25'), length(x||'26'), length(x||'27'), length(x||'28'), length(x||'29'), length(x||'30'), length(x||'31'), length(x||'32'), length(x||'33'), length(x||'34'), length(x||'35'), length(x||'36'), length(x||'37'), length(x||'38'), length(x||'39') FROM (SELECT repeat('a',60000000) x FROM generate_series(1,1)) y
CREATE TEMP TABLE many AS SELECT replace(x,'b','0') AS c0, replace(x,'b','1') AS c1, replace(x,'b','2') AS c2, replace(x,'b','3') AS c3, replace(x,'b','4') AS c4, replace(x,'b','5') AS c5, replace(x,'b','6') AS c6, replace(x,'b','7') AS c7, replace(x,'b','8') AS c8, replace(x,'b','9') AS c9, replace(x,'b','10') AS c10, replace(x,'b','11') AS c11, replace(x,'b','12') AS c12, replace(x,'b','13') AS c13, replace(x,'b','14') AS c14, replace(x,'b','15') AS c15, replace(x,'b','16') AS c16, replace(x,'b','17') AS c17, replace(x,'b','18') AS c18, replace(x,'b','19') AS c19, replace(x,'b','20') AS c20, replace(x,'b','21') AS c21, replace(x,'b','22') AS c22, replace(x,'b','23') AS c23, replace(x,'b','24') AS c24, replace(x,'b','25') AS c25, replace(x,'b','26') AS c26, replace(x,'b','27') AS c27, replace(x,'b','28') AS c28, replace(x,'b','29') AS c29, replace(x,'b','30') AS c30, replace(x,'b','31') AS c31, replace(x,'b','32') AS c32, replace(x,'b','33') AS c33, replace(x,'b','34') AS c34, replace(x,'b','35') AS c35, replace(x,'b','36') AS c36, replace(x,'b','37') AS c37, replace(x,'b','38') AS c38, replace(x,'b','39') AS c39 FROM (SELECT repeat('a',60000000) x FROM generate_series(1,1)) y
