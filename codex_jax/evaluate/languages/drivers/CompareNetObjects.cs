// What MBXP's tests use of the library Compare-Net-Objects, as it compares by default.
using System;
using System.Collections;
using System.Linq;
using System.Reflection;

namespace KellermanSoftware.CompareNetObjects
{
    public class ComparisonResult
    {
        public bool AreEqual { get; set; }
    }

    public class CompareLogic
    {
        const BindingFlags Public = BindingFlags.Public | BindingFlags.Instance;

        public ComparisonResult Compare(object expected, object actual)
        {
            return new ComparisonResult { AreEqual = Same(expected, actual, 0) };
        }

        static bool Same(object left, object right, int depth)
        {
            if (left == null || right == null) return left == right;
            Type type = left.GetType();
            if (type != right.GetType() || depth > 500) return false;
            if (left is IComparable || type.IsPrimitive) return left.Equals(right);
            if (left is IEnumerable) return SameItems((IEnumerable)left, (IEnumerable)right, depth);
            return type.GetFields(Public).All(f => Same(f.GetValue(left), f.GetValue(right), depth + 1))
                && type.GetProperties(Public).Where(p => p.GetIndexParameters().Length == 0)
                    .All(p => Same(p.GetValue(left), p.GetValue(right), depth + 1));
        }

        static bool SameItems(IEnumerable left, IEnumerable right, int depth)
        {
            object[] items = left.Cast<object>().ToArray(), others = right.Cast<object>().ToArray();
            return items.Length == others.Length && items.Zip(others, (a, b) => Same(a, b, depth + 1)).All(same => same);
        }
    }
}
