package org.javatuples;

import java.util.Arrays;

/** What MultiPL-E's Java programs use of org.javatuples, which Debian doesn't carry. */
abstract class Tuple implements Comparable<Tuple> {
    final Object[] values;

    Tuple(Object... values) {
        this.values = values;
    }

    public Object getValue(int place) {
        return values[place];
    }

    public int getSize() {
        return values.length;
    }

    @Override
    public boolean equals(Object other) {
        return other != null && other.getClass() == getClass() && Arrays.equals(values, ((Tuple) other).values);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(values);
    }

    @Override
    public String toString() {
        return Arrays.toString(values);
    }

    @Override
    @SuppressWarnings("unchecked")
    public int compareTo(Tuple other) {
        for (int i = 0; i < Math.min(values.length, other.values.length); i++) {
            int order = ((Comparable<Object>) values[i]).compareTo(other.values[i]);
            if (order != 0) return order;
        }
        return values.length - other.values.length;
    }
}
