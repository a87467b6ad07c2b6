# One public class for each size: Unit, Pair, Triplet, Quartet, Quintet.
mkdir classes
cp /kit/drivers/Tuples.java Tuple.java
sed -i 's/^abstract class/public abstract class/' Tuple.java
size=0
for name in Unit Pair Triplet Quartet Quintet; do
    size=$((size + 1)) types="" given="" passed="" getters=""
    for i in $(seq 0 $((size - 1))); do
        types="$types${types:+, }T$i" given="$given${given:+, }T$i v$i" passed="$passed${passed:+, }v$i"
        getters="$getters @SuppressWarnings(\"unchecked\") public T$i getValue$i() { return (T$i) values[$i]; }"
    done
    cat > $name.java <<END
package org.javatuples;

public final class $name<$types> extends Tuple {
    public $name($given) { super($passed); }
    public static <$types> $name<$types> with($given) { return new $name<>($passed); }
   $getters
}
END
done
javac -nowarn -d classes ./*.java
jar cf tuples.jar -C classes org
rm -r classes ./*.java
