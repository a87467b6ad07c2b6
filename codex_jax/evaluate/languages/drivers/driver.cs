// Runs the Main function of another assembly, which holds its tests.
using System;
using System.Diagnostics;
using System.IO;
using System.Reflection;

class Loud : TraceListener
{
    public override void Write(string text) { }
    public override void WriteLine(string text) { }
    public override void Fail(string text) { throw new Exception("Debug.Assert failed: " + text); }
    public override void Fail(string text, string more) { Fail(text); }
}

class Driver
{
    static int Main(string[] given)
    {
        var answers = new StreamWriter(Console.OpenStandardOutput());
        Console.SetOut(Console.Error);
        string token = Console.In.ReadLine();
        Debug.Listeners.Clear();
        Debug.Listeners.Add(new Loud());
        MethodInfo main = Assembly.LoadFrom(given[2]).EntryPoint;
        try
        {
            main.Invoke(null, main.GetParameters().Length == 0 ? null : new object[] { new string[0] });
        }
        catch (TargetInvocationException error)
        {
            Console.Error.WriteLine(error.InnerException);
            return 1;
        }
        answers.Write(token + "\n");
        answers.Flush();
        return 0;
    }
}
