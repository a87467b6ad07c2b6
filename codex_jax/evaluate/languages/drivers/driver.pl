# A Perl program: asked for calls, or run with its own tests.
package CodexJax;
use strict;
use warnings;

my ($mode, $entry, $file) = @ARGV;
@ARGV = ();
open(my $out, '>&=', 3) or die;
select((select($out), $| = 1)[0]);
if ($mode eq 'tests') {
    my $token = <STDIN>;
    main_of($file);
    no warnings 'once';
    print $out $token if $main::codex_jax_end;
    exit 0;
}
require JSON::PP;
require B;
my $json = JSON::PP->new->utf8->ascii->allow_nonref->max_depth(100_000);
eval { main_of($file); die "undefined subroutine $entry\n" unless defined &{"main::$entry"}; 1 }
    or do { say_it({ unready => described($@) }); exit 0 };
say_it({ ready => JSON::PP::true() });
while (my $line = <STDIN>) {
    my $value = eval {
        my @arguments = map { decoded($_) } @{ $json->decode($line)->[0] };
        no strict 'refs';
        encoded(scalar &{"main::$entry"}(@arguments));
    };
    say_it($@ ? { raised => described($@) } : { value => $value });
}
exit 0;

sub main_of {
    my ($path) = @_;
    package main;
    no strict;
    no warnings;
    do $path;
    die $@ if $@;
}

sub say_it { print $out $json->encode($_[0]), "\n" }

sub described {
    my $text = substr("$_[0]", 0, 300);
    return [ $text =~ /syntax error/ ? 'SyntaxError' : 'Exception', 'die', $text, undef ];
}

sub decoded {
    my ($form) = @_;
    return $form ? 1 : '' if JSON::PP::is_bool($form);
    return [ map { decoded($_) } @$form ] if ref $form eq 'ARRAY';
    return $form unless ref $form eq 'HASH';
    my ($tag, $body) = %$form;
    return hex($body =~ s/^-//r) * ($body =~ /^-/ ? -1 : 1) if $tag eq 'int';
    return { map { decoded($_->[0]) => decoded($_->[1]) } @$body } if $tag eq 'dict';
    return ref $body ? [ map { decoded($_) } @$body ] : $body;
}

sub encoded {
    my ($value) = @_;
    return [ map { encoded($_) } @$value ] if ref $value eq 'ARRAY';
    return { dict => [ map { [ $_, encoded($value->{$_}) ] } keys %$value ] } if ref $value eq 'HASH';
    return encoded($$value) if ref $value eq 'SCALAR';
    return { opaque => ref $value } if ref $value;
    return $value;
}
