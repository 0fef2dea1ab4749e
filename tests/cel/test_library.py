"""Functions where the conformance vectors leave off: edges, and the extensions' rarer functions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import cel

TRUE = [
    # strings
    "'abc'.charAt(3) == '' && 'abc'.substring(3) == '' && 'abc'.substring(1, 1) == ''",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
    "'a,b'.split(',', 0) == [] && 'a,b'.split(',', 1) == ['a,b'] && 'a,b'.split(',', 9) == ['a', 'b']",
    "'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc'] && ''.split('') == []",
    "'aaa'.replace('a', 'b', 2) == 'bba' && 'aaa'.replace('a', 'b', 0) == 'aaa' && 'a'.replace('a', 'b', -1) == 'b'",
    "'ab'.replace('', '-') == '-a-b-'",
    "'aXbX'.lastIndexOf('X', 2) == 1 && 'aXbX'.lastIndexOf('X', 3) == 3 && 'abc'.indexOf('', 3) == 3",
    "'ÀB'.lowerAscii() == 'Àb' && 'àb'.upperAscii() == 'àB' && 'AB'.lowerAscii() == 'ab'",
    "'%d|%s|%x|%X|%o|%b|%%'.format([1, 2u, 255, b'\\xab', 8, 5]) == '1|2|ff|AB|10|101|%'",
    "'%e|%.2f|%f'.format([1.5, 2, 3u]) == '1.500000e+00|2.00|3.000000'",
    "'%s'.format([[1, 'a', null, 2.0, {'b': true}]]) == '[1, a, null, 2, {b: true}]'",
    "'%s %s'.format([type(1), int]) == 'int int' && '%d'.format([-5]) == '-5' && '%x'.format([-255]) == '-ff'",
    # conversions
    "string(1.0) == '1' && string(0.1) == '0.1' && string(1e20) == '100000000000000000000' && string(1e21) == '1e+21'",
    "string(1e-6) == '0.000001' && string(1e-8) == '1e-08' && string(-0.0) == '-0'",
    "string(double('inf')) == '+Inf' && string(double('-inf')) == '-Inf' && string(double('nan')) == 'NaN'",
    "int('-5') == -5 && int('+5') == 5 && uint('5') == 5u && double(' 1'.trim()) == 1.0 && double('.5') == 0.5",
    "string(true) == 'true' && string(5u) == '5' && bytes('é') == b'\\xc3\\xa9' && string(b'\\xc3\\xa9') == 'é'",
    "int(timestamp('1969-12-31T23:59:59.5Z')) == -1",
    "bool('TRUE') && !bool('F')",
    # durations and timestamps
    "duration('1h1m1s1ms1us1ns') == duration('3661.001001001s') && duration('-1.5h') == duration('-5400s')",
    "duration('0') == duration('0s') && duration('+.5s') == duration('500ms') && duration('1.s') == duration('1s')",
    "string(duration('-250ms')) == '-0.25s' && string(duration('1h')) == '3600s'",
    "duration('90m').getHours() == 1 && duration('-90m').getHours() == -1 && duration('90s').getMinutes() == 1",
    "duration('-1.5s').getSeconds() == -1 && duration('123.321456789s').getMilliseconds() == 321",
    "duration('-1.25s').getMilliseconds() == -250",
    "timestamp('2024-02-29T12:00:00+02:00') == timestamp('2024-02-29t10:00:00z')",
    "timestamp('2024-12-31T00:00:00Z').getDayOfYear() == 365 && timestamp('2023-01-01T00:00:00Z').getDayOfWeek() == 0",
    "timestamp('2024-03-10T12:34:56.789Z').getMilliseconds('America/New_York') == 789",
    "timestamp('2024-07-01T22:30:00Z').getDate('Europe/Berlin') == 2",
    "timestamp('2024-07-01T22:30:00Z').getHours('Asia/Kolkata') == 4",
    "timestamp('2024-07-01T22:30:00Z').getMinutes('Asia/Kolkata') == 0",
    "timestamp('1600-01-01T00:00:00Z').getFullYear('+01:00') == 1600",
    "string(timestamp('0001-01-01T00:00:00.000000001Z')) == '0001-01-01T00:00:00.000000001Z'",
    "timestamp(5) - timestamp(3) == duration('2s') && timestamp(5) > timestamp(3)",
    # math
    "math.sqrt(4) == 2.0 && math.sqrt(2u) > 1.41 && math.isNaN(math.sqrt(-1.0))",
    "math.round(0.49999999999999994) == 0.0 && math.round(-2.5) == -3.0 && math.round(1e300) == 1e300",
    "math.ceil(-0.5) == 0.0 && string(math.ceil(-0.5)) == '-0' && string(math.trunc(-0.5)) == '-0'",
    "math.isInf(math.floor(double('inf'))) && math.sign(-2.5) == -1.0 && math.isNaN(math.sign(double('nan')))",
    "math.greatest([1, 5, 3]) == 5 && math.least(3, 1, 2) == 1 && math.greatest(1, 2.5, 2u) == 2.5",
    "math.bitShiftLeft(1, 63) == -9223372036854775808 && math.bitShiftRight(-1, 63) == 1",
    "math.bitXor(5u, 1u) == 4u && math.abs(2u) == 2u",
    # optionals
    "[1, 2].first() == optional.of(1) && [1, 2].last().value() == 2 && !dyn([]).first().hasValue()",
    "optional.unwrap([optional.of(1), optional.none()]) == [1] && [optional.of('a')].unwrapOpt() == ['a']",
    "optional.none().or(optional.of(1)).value() == 1 && optional.of(1).or(optional.of(1 / 0)).value() == 1",
    "optional.of(1).orValue(1 / 0) == 1",
    "!optional.ofNonZeroValue([]).hasValue() && !optional.ofNonZeroValue(0u).hasValue()",
    "!optional.ofNonZeroValue(timestamp(0)).hasValue() && optional.ofNonZeroValue(int).hasValue()",
    "[?optional.of(1), ?optional.none(), 2] == [1, 2] && {?'a': optional.none(), 'b': 1} == {'b': 1}",
    "optional.of({'a': 1}).?a.value() == 1 && optional.of([5])[0].value() == 5 && !optional.of([5])[?3].hasValue()",
    "optional.of(2).optMap(x, x + 1).optFlatMap(x, x > 2 ? optional.of('y') : optional.none()).value() == 'y'",
    # two-variable comprehensions
    "{'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'} && ['x'].transformMapEntry(i, v, {v: i}) == {'x': 0}",
    "['a', 'b'].transformMap(i, v, i > 0, v) == {1: 'b'} && {'a': 1}.transformList(k, v, k) == ['a']",
    # network
    "string(ip('2001:DB8::0:1')) == '2001:db8::1' && !ip.isCanonical('2001:DB8::1')",
    "string(cidr('10.1.2.3/8').masked()) == '10.0.0.0/8' && string(cidr('10.1.2.3/8')) == '10.1.2.3/8'",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR('10.0.0.0/8')",
    "cidr('0.0.0.0/0').containsIP('255.255.255.255') && !cidr('0.0.0.0/0').containsIP('::1')",
    "cidr('::/0').containsIP('::1') && !cidr('::/0').containsIP('1.2.3.4') && cidr('1.2.3.4/32').containsIP('1.2.3.4')",
    "ip('::1').isLoopback() && ip('127.1.2.3').isLoopback() && !ip('128.0.0.1').isLoopback()",
    "ip('::').isUnspecified() && ip('fe80::1').isLinkLocalUnicast() && ip('224.0.0.9').isLinkLocalMulticast()",
    "!ip('255.255.255.255').isGlobalUnicast() && ip('10.0.0.1').isGlobalUnicast() && ip('::ffff:c0a8:1').family() == 4",
    "!isIP('01.2.3.4') && !isIP('1.2.3.4/8') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0') && isIP('::')",
    "ip('1.2.3.4') in [ip('1.2.3.4')] && ip('1.2.3.4') != ip('::1') && cidr('10.0.0.0/8') == cidr('10.0.0.0/8')",
    # encoders
    "base64.decode('aGk') == b'hi' && base64.decode('aGk=') == b'hi' && base64.encode(b'\\xff\\xfe') == '//4='",
    # types
    "type(1) == int && type(optional.of(1)) == optional_type && type(type(1)) == type && type(ip('::1')) == net.IP",
    "type({}) == map && type([]) == list && type(null) == null_type",
    "type(duration('1s')) == google.protobuf.Duration && type(timestamp(0)) == google.protobuf.Timestamp",
    "type(dyn) == type && [int, string] == [type(1), type('')]",
]
FAIL = [
    "int('1_000')",
    "int(' 1')",
    "int('٣')",
    "uint('-1')",
    "double('1_0')",
    "double('0x1')",
    "int(double('nan'))",
    "uint(double('inf'))",
    "double('1e999')",
    "double('-1e999')",
    "int(9223372036854775808.0)",
    "uint(-0.5)",
    "bool('yes')",
    "duration('')",
    "duration('1')",
    "duration('1d')",
    "duration('1h-1m')",
    "timestamp('2024-02-30T00:00:00Z')",
    "timestamp('2024-01-01T24:00:00Z')",
    "timestamp('2024-01-01T00:00:00')",
    "timestamp('2024-01-01 00:00:00Z')",
    "timestamp('2024-01-01T00:00:00+24:00')",
    "timestamp(0).getHours('25:00')",
    "base64.decode('a')",
    "base64.decode('a b=')",
    "base64.decode('-_8=')",
    "cidr('10.0.0.0')",
    "cidr('10.0.0.0/08')",
    "cidr('10.0.0.0/-1')",
    "cidr('::ffff:a00:0/104')",
    "ip('1.2.3.4 ')",
    "'%'.format([1])",
    "'%s'.format([])",
    "'%q'.format([1])",
    "'%.3s'.format(['a'])",
    "'%.9999f'.format([1.0])",
    "'%s'.format([optional.none()])",
    "'abc'.charAt(4)",
    "'abc'.charAt(-1)",
    "math.greatest(dyn([]))",
    "math.greatest(dyn(['a', 'b']))",
    "math.bitShiftLeft(1, -1)",
    "optional.none().value()",
    "[dyn(1)].unwrapOpt()",
    "[dyn(1)].join()",
    "[?dyn(1)]",
    "{dyn(1.0): 1}",
    "{dyn(null): 1}",
    "{'a': 1}.transformMapEntry(k, v, dyn(1))",
    "{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k})",
    "dyn('ab').all(x, true)",
    "dyn('ab')[0]",
    "dyn(1).all(x, true)",
    "[1, 2][dyn(true)]",
    "[1, 2][-1]",
    "dyn([1, 2])[-1]",
    "-dyn(1u)",
    "!dyn(1)",
    "9223372036854775807 * -2",
    "-9223372036854775808 / -1",
    "-9223372036854775808 % dyn(0)",
    "dyn(1) + 1u",
    "dyn('a') < 1",
    "dyn([1]) < [2]",
    "dyn(null) < null",
    "timestamp(253402300799) + duration('1s')",
    "duration('2562047h') + duration('2562047h')",
]


@pytest.mark.parametrize("source", TRUE)
@pytest.mark.parametrize("check", [True, False])
def test_holds(source: str, check: bool) -> None:
    assert cel.compile(source, check=check)({}) is True


@pytest.mark.parametrize("source", FAIL)
@pytest.mark.parametrize("check", [True, False])
def test_fails(source: str, check: bool) -> None:
    with pytest.raises(cel.CelError):
        cel.compile(source, check=check)({})


TEXTS = st.text(max_size=12) | st.text(alphabet='abA\u00c4\u00e4\u212a\\"\n', max_size=12)


@given(TEXTS, st.text(alphabet="ab", max_size=3), st.integers(0, 12))
def test_functions_on_texts_do_what_they_say_character_by_character(text: str, part: str, place: int) -> None:
    def value(source: str) -> Any:
        return cel.compile(source)({"s": text, "p": part, "n": min(place, len(text))})

    places = [index for index in range(len(text) + 1) if text.startswith(part, index)]
    assert value("s.lastIndexOf(p)") == max(places, default=-1)
    assert value("s.lastIndexOf(p, n)") == max((one for one in places if one <= min(place, len(text))), default=-1)
    lower = {chr(code): chr(code + 32) for code in range(65, 91)}
    assert value("s.lowerAscii()") == "".join(lower.get(one, one) for one in text)
    assert value("s.upperAscii()") == "".join(
        {after: one for one, after in lower.items()}.get(one, one) for one in text
    )
    quoted = {"\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    assert value("strings.quote(s)") == '"' + "".join((quoted | {"\v": "\\v"}).get(one, one) for one in text) + '"'
