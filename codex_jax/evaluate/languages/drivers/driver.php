<?php
// A PHP program: asked for calls, or run with its own tests.

(function (string $mode, string $entry, string $file) {
    $out = fopen('php://fd/3', 'w');
    $lines = fopen('php://stdin', 'r');
    if ($mode === 'tests') {
        $token = fgets($lines);
        (static function () use ($file) { load_program($file); })();
        if (isset($GLOBALS['codex_jax_end'])) fwrite($out, $token);
        return;
    }
    $say = function (array $fields) use ($out) {
        $flags = JSON_PRESERVE_ZERO_FRACTION | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR;
        fwrite($out, json_encode($fields, $flags, 100000) . "\n");
    };
    try {
        load_program($file);
        if (!function_exists($entry)) throw new Error("function $entry is not defined");
    } catch (Throwable $error) {
        return $say(['unready' => described($error)]);
    }
    $say(['ready' => true]);
    while (($line = fgets($lines)) !== false) {
        try {
            $arguments = decoded(json_decode($line, true, 100000)[0]);
            $answer = ['value' => encoded($entry(...$arguments))];
        } catch (Throwable $error) {
            $answer = ['raised' => described($error)];
        }
        $say($answer);
    }
})(...array_slice($argv, 1));

function load_program(string $file): void
{
    ob_start(fn ($text) => '', 4096);
    include $file;
    ob_end_clean();
}

function described(Throwable $error): array
{
    $kind = $error instanceof ParseError ? 'SyntaxError' : 'Exception';
    return [$kind, get_class($error), mb_or_not($error->getMessage()), null];
}

function mb_or_not(string $text): string
{
    return substr($text, 0, 300);
}

function decoded(mixed $form): mixed
{
    if (!is_array($form)) return $form;
    if (array_is_list($form)) return array_map('decoded', $form);
    $tag = array_key_first($form);
    $body = $form[$tag];
    if ($tag === 'int') return intval($body, 16);
    if ($tag === 'dict') {
        $found = [];
        foreach ($body as [$key, $value]) $found[decoded($key)] = decoded($value);
        return $found;
    }
    return is_array($body) ? array_map('decoded', $body) : $body;
}

function encoded(mixed $value): mixed
{
    if (is_float($value) && !is_finite($value)) return ['opaque' => 'float'];
    if (is_int($value) && abs($value) >= 10 ** 15) return ['int' => ($value < 0 ? '-' : '') . '0x' . dechex(abs($value))];
    if (is_object($value) || is_resource($value)) return ['opaque' => gettype($value)];
    if (!is_array($value)) return $value;
    if (array_is_list($value)) return array_map('encoded', $value);
    $pairs = [];
    foreach ($value as $key => $item) $pairs[] = [$key, encoded($item)];
    return ['dict' => $pairs];
}
