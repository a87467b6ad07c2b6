#!/bin/sh
# Java: the driver, the compiler that stays running, and the classes of javatuples.
set -e
javac -nowarn -d . /kit/drivers/Driver.java /kit/drivers/Compiler.java
mkdir classes
cp /kit/drivers/Tuples.java Tuple.java
sed -i 's/^abstract class/public abstract class/' Tuple.java
size=0
for name in Unit Pair Triplet Quartet Quintet; do
    size=$((size + 1))
    types="" parameters="" arguments="" getters=""
    for i in $(seq 0 $((size - 1))); do
        comma=${types:+, }
        types="$types${comma}T$i"
        parameters="$parameters${comma}T$i v$i"
        arguments="$arguments${comma}v$i"
        getters="$getters
    @SuppressWarnings(\"unchecked\") public T$i getValue$i() { return (T$i) values[$i]; }"
    done
    cat > "$name.java" << END
package org.javatuples;

public final class $name<$types> extends Tuple {
    public $name($parameters) { super($arguments); }
    public static <$types> $name<$types> with($parameters) { return new $name<>($arguments); }
$getters
}
END
done
javac -nowarn -d classes ./*.java
jar cf tuples.jar -C classes org
rm -r classes ./*.java
